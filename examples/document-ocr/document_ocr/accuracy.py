"""How much of a page was read rightly, counted in words."""

from collections.abc import Sequence

# Curly quotation marks and long dashes, which the eye hardly tells from the straight and short.
PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")


def words_of(text: str) -> list[str]:
    """The words of a text, its punctuation made plain."""
    return text.translate(PLAIN).split()


def word_accuracy(expected: str, recognised: str) -> float:
    """One minus the word error rate: edits from one word list to the other per expected word.

    A word counts as wrong when any letter, its case or its punctuation differs.
    """
    want, got = words_of(expected), words_of(recognised)
    if not want:
        return 1.0 if not got else 0.0
    return max(0.0, 1.0 - _edit_distance(want, got) / len(want))


def _edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Levenshtein's distance: insertions, deletions and replacements, one each."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
