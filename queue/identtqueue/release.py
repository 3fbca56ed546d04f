"""The version of this library, as it is installed."""

from __future__ import annotations

from functools import cache


@cache
def release() -> str:
    """Return the version of the installed package; empty if it runs from sources alone."""
    # Imported late: an application that only enqueues does not need it.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("identtqueue")
    except PackageNotFoundError:
        return ""
