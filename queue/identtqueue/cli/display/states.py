"""The colour of each state and place of a task."""

from __future__ import annotations

from typing import Final

from identtqueue.cli.display.table import Styled

_STYLES: Final = {
    "running": "info",
    "succeeded": "good",
    "failed": "bad",
    "dead": "bad",
    "cancelled": "quiet",
    "held": "warn",
    "scheduled": "quiet",
    "retried": "warn",
    "lost": "bad",
}


def styled_state(state: str) -> Styled:
    """Return a state, a place or the outcome of an attempt in its colour."""
    return Styled(str(state), _STYLES.get(str(state), ""))
