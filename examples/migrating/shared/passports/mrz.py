"""The machine-readable zone: whether its check digits are right (ICAO Doc 9303, part 4)."""

from itertools import cycle

FIELDS = {"number": (0, 9), "born": (13, 19), "expires": (21, 27), "personal": (28, 42)}
"""Where each field is in the second line; its check digit is the character behind it."""


def wrong_digits(line: str) -> list[str]:
    """Return the names of the fields whose check digit is wrong; "line" is the whole line."""
    wrong = [name for name, (start, end) in FIELDS.items() if _digit(line[start:end]) != line[end]]
    whole = line[0:10] + line[13:20] + line[21:43]
    return wrong if _digit(whole) == line[43] else [*wrong, "line"]


def _digit(text: str) -> str:
    products = (_value(c) * weight for c, weight in zip(text, cycle((7, 3, 1)), strict=False))
    return str(sum(products) % 10)


def _value(character: str) -> int:
    return 0 if character == "<" else int(character, 36)
