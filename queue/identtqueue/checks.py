"""Checks of what users set: each raises InvalidInput at once, with the name of the setting."""

from __future__ import annotations

from functools import lru_cache

from identtqueue.errors import InvalidInput, is_number


def check_duration(what: str, seconds: object) -> None:
    """Refuse what is no duration.

    Raises:
        InvalidInput: it is not a number, more than 0, at most 100 years.
    """
    if not (is_number(seconds) and seconds):
        raise InvalidInput(f"{what}={seconds!r}: must be a number, more than 0, at most 100 years")


def check_patience(what: str, seconds: object) -> None:
    """Refuse what is no time to wait; 0 (not at all) and infinity (for ever) are.

    Raises:
        InvalidInput: it is not a number, 0 or more.
    """
    if not (is_number(seconds) or seconds == float("inf")):
        raise InvalidInput(f"{what}={seconds!r}: must be a number, 0 or more")


def check_count(what: str, number: object) -> None:
    """Refuse what is no number of things.

    Raises:
        InvalidInput: it is not a whole number, 1 or more.
    """
    if not (is_number(number, int) and number):
        raise InvalidInput(f"{what}={number!r}: must be a whole number, 1 or more")


def check_function_name(name: object) -> str:
    """Return the name of a job as it is.

    Raises:
        InvalidInput: it is no text of 1 to 255 characters, or UTF-8 can't carry it.
    """
    if not isinstance(name, str) or not _is_function_name(name):
        raise InvalidInput(f"function_name {name!r} is not valid: 1 to 255 characters")
    return name


@lru_cache(maxsize=4096)
def _is_function_name(name: str) -> bool:
    if not 1 <= len(name) <= 255:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
