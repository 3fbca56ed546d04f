"""The options by which tasks are chosen: one for each condition of a filter."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

STATES: Final = ("pending", "held", "scheduled", "running", "dead", "ended")
"""The lists that a queue has."""

_CONDITIONS: Final = {
    "job": "Name of the job.",
    "error": "Type of the failure, such as ValueError.",
    "tag": "One of the task's tags.",
    "id": "Beginning of the id.",
    "worker": "Worker or pod.",
    "text": "Text in the arguments; takes the right to get taskqueues/arguments.",
    "since": "Not older than this: 90s, 15m, 2h, 7d.",
    "older": "Older than this.",
}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each condition; it gets those that were given as `words`."""

    @wraps(command)
    def body(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(f"with_{name}") for name in _CONDITIONS}
        words = {name: value for name, value in given.items() if value}
        return command(*args, words=words, **kwargs)

    decorated: Any = body
    for name, text in reversed(_CONDITIONS.items()):
        decorated = click.option(f"--{name}", f"with_{name}", default="", help=text)(decorated)
    return decorated  # type: ignore[no-any-return]
