"""Checks of settings that users give. Each raises InvalidInput at once and names the setting."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

from identtqueue.bounds import is_number
from identtqueue.errors import InvalidInput, UnknownOption


def check_names(call: str, given: Iterable[str], known: Collection[str]) -> None:
    """Check that a call takes the options that it was given.

    Args:
        call: the call as users write it, such as `App.worker`, for the error.
        given: names of the keyword arguments.
        known: names of all options that the call takes.

    Raises:
        UnknownOption: there is no option of that name.
    """
    for name in given:
        if name not in known:
            raise UnknownOption(call, name, list(known))


def check_duration(what: str, seconds: object) -> None:
    """Check that a setting is a duration.

    Args:
        what: name of the setting, for the error.
        seconds: its value.

    Raises:
        InvalidInput: it is not a number that is more than 0 and at most 100 years.
    """
    if not (is_number(seconds) and seconds):
        raise InvalidInput(f"{what}={seconds!r}: must be a number, more than 0, at most 100 years")


def check_patience(what: str, seconds: object) -> None:
    """Check that a setting is a time to wait: 0 means not at all, infinity means for ever.

    Args:
        what: name of the setting, for the error.
        seconds: its value.

    Raises:
        InvalidInput: it is not a number that is 0 or more.
    """
    if not (is_number(seconds) or seconds == float("inf")):
        raise InvalidInput(f"{what}={seconds!r}: must be a number, 0 or more")


def check_count(what: str, number: object) -> None:
    """Check that a setting is a count.

    Args:
        what: name of the setting, for the error.
        number: its value.

    Raises:
        InvalidInput: it is not a whole number that is 1 or more.
    """
    if not (is_number(number, int) and number):
        raise InvalidInput(f"{what}={number!r}: must be a whole number, 1 or more")


def check_function_name(name: object) -> str:
    """Check the name of a job and return it unchanged.

    Raises:
        InvalidInput: it is not text of 1 to 255 characters, or it can't be encoded as UTF-8.
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
