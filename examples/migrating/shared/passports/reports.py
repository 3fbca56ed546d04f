"""The report about a passport: what all checks together say."""

from collections.abc import Sequence
from typing import TypedDict

BLURRED = 5.0
"""A page that is less sharp cannot be read."""


class Report(TypedDict):
    """The answer to a customer."""

    document: str
    verdict: str
    wrong_digits: list[str]
    lost: bool
    sharpness: list[float]


def write(document: str, wrong: list[str], lost: bool, sharpness: Sequence[float]) -> Report:
    """Combine what the checks have found."""
    refused = bool(wrong) or lost or min(sharpness) < BLURRED
    return Report(
        document=document,
        verdict="refused" if refused else "accepted",
        wrong_digits=wrong,
        lost=lost,
        sharpness=list(sharpness),
    )
