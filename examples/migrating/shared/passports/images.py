"""The scanned pages: whether they are sharp enough to be read."""

from itertools import pairwise
from pathlib import Path


def sharpness(path: Path) -> float:
    """Measure how much neighbouring pixels of a greyscale image (PGM) differ: 0 is a grey wall.

    Raises:
        ValueError: the file is no such image.
    """
    magic, width, height, _brightest, pixels = path.read_bytes().split(maxsplit=4)
    if magic != b"P5" or len(pixels) != int(width) * int(height):
        raise ValueError(f"{path.name} is not a complete PGM image")
    steps = [abs(left - right) for left, right in pairwise(pixels)]
    return round(sum(steps) / len(steps), 2)
