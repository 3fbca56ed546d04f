"""Errors: their tree is as their module's docstring draws it, and they survive pickling."""

from __future__ import annotations

import asyncio
import copy
import io
import logging
import multiprocessing
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

import identtqueue
from identtqueue import errors
from identtqueue.errors import IdenttqueueError, Retry, TaskFailed, TimedOut
from testing.public_errors import classes, example, raise_example, raise_given

LINE = re.compile(r"    ([│├└─ ]*)(\w+)(?: \((\w+)\))?(?:  +.*)?")


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Read the tree from the docstring: name -> (parent, builtin class that it also is)."""
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
    """Read the same tree from the classes."""
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


# --- they cross the borders of processes ---

COPIES: dict[str, Callable[[IdenttqueueError], IdenttqueueError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
} | {
    f"pickle {number}": lambda error, number=number: pickle.loads(pickle.dumps(error, number))
    for number in range(pickle.HIGHEST_PROTOCOL + 1)
}


def assert_same(found: BaseException, error: IdenttqueueError) -> None:
    assert type(found) is type(error)
    assert (str(found), repr(found), found.args) == (str(error), repr(error), error.args)
    assert vars(found) == vars(error)


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("name", classes())
def test_every_error_survives(name: str, way: str) -> None:
    error = example(name)
    found = COPIES[way](error)
    assert found is not error
    assert_same(found, error)
    assert_same(COPIES[way](found), error)
    found.add_note("of the copy")
    assert "of the copy" not in error.__notes__


class PageMissing(Retry):
    """Error of a user with its own parameters, which does not call the `__init__` of its base."""

    def __init__(self, book: str, page: int) -> None:
        self.page = page
        self.args = (f"{book} has no page {page}",)


@pytest.mark.parametrize("way", COPIES)
def test_a_subclass_with_an_init_of_its_own_survives(way: str) -> None:
    error = PageMissing("atlas", 7)
    assert_same(COPIES[way](error), error)


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", classes())
async def test_it_comes_out_of_a_process_pool_executor(
    executor: ProcessPoolExecutor, name: str
) -> None:
    with pytest.raises(classes()[name]) as caught:
        await asyncio.wrap_future(executor.submit(raise_example, name))
    assert_same(caught.value, example(name))
    with pytest.raises(classes()[name]) as caught:
        await asyncio.wrap_future(executor.submit(raise_given, example(name)))
    assert_same(caught.value, example(name))


def test_all_come_out_of_a_multiprocessing_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for name, kind in classes().items():
            with pytest.raises(kind) as caught:
                pool.apply_async(raise_example, (name,)).get(60)
            assert_same(caught.value, example(name))


# --- what they say ---

REMOTE = 'Traceback (most recent call last):\n  File "/srv/jobs.py", line 7\nValueError: no'


def test_a_failed_task_keeps_the_remote_traceback_out_of_its_text() -> None:
    """The text may end up in replies of web services, so it has no path or source line."""
    error = TaskFailed("q:1", "ValueError", "no", REMOTE)
    assert str(error) == "task q:1 failed: ValueError: no"
    assert "/srv" not in f"{error} {error!r} {error.args}"
    assert (error.task_id, error.remote_type, error.remote_message) == ("q:1", "ValueError", "no")
    assert error.remote_traceback == REMOTE
    assert not hasattr(TaskFailed("q:1", "WorkerLost", "gone", ""), "__notes__")


@pytest.mark.parametrize("way", ["as it is", *COPIES])
def test_the_interpreter_and_the_log_show_the_remote_traceback(way: str) -> None:
    error = COPIES.get(way, lambda same: same)(TaskFailed("q:1", "ValueError", "no", REMOTE))
    assert "".join(traceback.format_exception(error)).count(REMOTE) == 1
    log = logging.Logger("test")
    log.addHandler(logging.StreamHandler(stream := io.StringIO()))
    try:
        raise error
    except TaskFailed:
        log.exception("in a view")
    assert stream.getvalue().count(REMOTE) == 1


def test_a_time_out_of_a_job_is_a_timeout_error() -> None:
    assert identtqueue.TimedOut is TimedOut
    assert issubclass(TimedOut, TimeoutError)


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
