"""The share of words of a page that were read correctly."""

from collections.abc import Sequence

# Curly quotation marks and long dashes, which look almost like the straight and short ones.
PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")


def words_of(text: str) -> list[str]:
    """Split a text into words, with plain quotation marks and dashes."""
    return text.translate(PLAIN).split()


def word_accuracy(expected: str, recognised: str) -> float:
    """Return one minus the word error rate: the edits between the two lists per expected word.

    A word is wrong if a letter, its case or its punctuation differs.
    """
    want, got = words_of(expected), words_of(recognised)
    if not want:
        return 1.0 if not got else 0.0
    return max(0.0, 1.0 - _edit_distance(want, got) / len(want))


def _edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Return Levenshtein's distance: the number of insertions, deletions and replacements."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
