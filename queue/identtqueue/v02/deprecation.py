"""Warnings that name what replaces a call or an argument of 0.2."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any


def replaced(old: str, new: str) -> None:
    """Warn that the caller's caller uses something that has a successor.

    Args:
        old: what it uses.
        new: the successor.
    """
    warnings.warn(
        f"identtqueue.v02: {old} is deprecated: use {new}", DeprecationWarning, stacklevel=3
    )


def without_meaning(owner: str, given: Mapping[str, tuple[Any, Any, str]]) -> None:
    """Warn of arguments that have no meaning any more, if they were given.

    Args:
        owner: name of the class whose arguments they are.
        given: by name of the argument: its value, its default, and what replaces it.
    """
    for name, (value, default, instead) in given.items():
        if value != default:
            warnings.warn(
                f"identtqueue.v02: {owner}({name}=…) has no meaning any more: {instead}",
                DeprecationWarning,
                stacklevel=3,
            )
