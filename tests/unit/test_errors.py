"""The tree of errors is what its docstring draws."""

from __future__ import annotations

import re

import pytest

from identtqueue import errors
from identtqueue.errors import IdenttqueueError

LINE = re.compile(r"    ([│├└─ ]*)(\w+)(?: \((\w+)\))?(?:  +.*)?")


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Name -> (parent, builtin that it is too), from the docstring."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            continue
        branch, name, builtin = match.groups()
        depth = len(branch) // 4
        path = [*path[:depth], name]
        assert name not in found
        found[name] = (path[-2] if depth else None, builtin)
    return found


def defined() -> dict[str, tuple[str | None, str | None]]:
    """The same from the classes."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, IdenttqueueError):
            ours = [base.__name__ for base in value.__bases__ if issubclass(base, IdenttqueueError)]
            builtin = [
                b.__name__ for b in value.__bases__ if b.__name__ not in (*ours, "Exception")
            ]
            assert len(ours) <= 1
            found[name] = (ours[0] if ours else None, builtin[0] if builtin else None)
    return found


def test_the_docstring_draws_the_tree() -> None:
    assert len(drawn()) > 15
    assert drawn() == defined()


@pytest.mark.parametrize("name", defined())
def test_every_error_says_what_it_means(name: str) -> None:
    assert vars(errors)[name].__doc__


def test_a_failed_task_shows_the_remote_traceback() -> None:
    error = errors.TaskFailed("q:1", "ValueError", "no", "Traceback…")
    assert str(error) == "task q:1 failed: ValueError: no\n\nTraceback…"
    assert str(errors.TaskFailed("q:1", "WorkerLost", "gone", "")) == (
        "task q:1 failed: WorkerLost: gone"
    )
    assert (error.task_id, error.remote_type, error.remote_message) == ("q:1", "ValueError", "no")


@pytest.mark.parametrize(
    ("error", "builtin", "text"),
    [
        (errors.ResultTimeout("q:1", 0.5), TimeoutError, "no result of task q:1 after 0.5 s"),
        (errors.TaskNotFound("q:1"), LookupError, "no task q:1: never enqueued"),
        (errors.InvalidQueueName("Q"), ValueError, "queue name 'Q' is not valid"),
        (errors.TaskCancelled("q:1"), Exception, "task q:1 was cancelled"),
        (errors.TaskExpired("q:1"), errors.TaskCancelled, "task q:1 expired before a worker"),
        (errors.UnknownJob("x", ["b", "a"]), Exception, "named 'x'; it has: a, b. Register"),
        (errors.UnknownJob("x", []), Exception, "it has: none"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_say_what_to_do(error: Exception, builtin: type, text: str) -> None:
    assert isinstance(error, builtin)
    assert text in str(error)
