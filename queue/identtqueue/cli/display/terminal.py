"""Whether a person looks at the output, and what colours mean.

`rich` is imported only when something is drawn on a terminal: a pipe and JSON do not pay for it.
"""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final = {
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "info": "cyan",
    "quiet": "dim",
    "name": "bold",
    "heading": "dim",
}
"""The looks of each style of a cell. A style never says what the text does not say too."""


def is_terminal(stream: IO[Any] | None = None) -> bool:
    """Return whether a stream is shown to a person, who gets colour and the width of the window.

    Args:
        stream: the stream; None: standard output.
    """
    if os.environ.get("FORCE_COLOR"):
        return True
    stream = sys.stdout if stream is None else stream
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(*, stderr: bool = False) -> Console:
    """Make what draws on a terminal. It respects NO_COLOR, and the width of the window.

    Args:
        stderr: draw on standard error.
    """
    from rich.console import Console  # noqa: PLC0415 - see the module's docstring
    from rich.theme import Theme  # noqa: PLC0415

    return Console(theme=Theme(STYLES), highlight=False, markup=False, emoji=False, stderr=stderr)
