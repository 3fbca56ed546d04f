"""Usage that type checkers refuse raises an error at run time too, where Python can see it.

The numbers are those of `tests/client/typing/bad.py` and of the page on typing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from identtqueue import App, Context, InvalidInput, Job, TaskOptions, Worker
from identtqueue.errors import InvalidTaskId, NotSerializable, UnknownOption


class Services:
    pool: str = "open"


class Other: ...


class NeedsMore:
    def __init__(self, pool: str) -> None: ...


ADDRESS = "redis://nowhere"
app = App(ADDRESS, state=Services)


@app.task
async def read(ctx: Context[Services], path: str, *, dpi: int = 300) -> str:
    return path


async def without_context(path: str) -> None: ...


async def with_another_state(ctx: Context[Other]) -> None: ...


async def with_another_dict(ctx: Context[dict[str, int]]) -> None: ...


def without_state() -> None: ...


async def never(state: object) -> None: ...


def worker_of(job: Callable[..., object], **settings: object) -> Worker:
    made = App(ADDRESS, **settings)
    made.task(job)
    return made.worker()


def untyped(**settings: object) -> Worker:
    return Worker({"read": read.function}, ADDRESS, "q", **settings)


def include(other: object, **settings: object) -> None:
    App(ADDRESS, **settings).include(other)


WRONG = [
    (1, lambda: app.task(max_runing=4), UnknownOption, "did you mean max_running"),
    (1, lambda: Job(name="x", function=read.function, max_runing=4), TypeError, "max_runing"),
    (2, lambda: app.task(max_running="4", name="x")(read), InvalidInput, "max_running='4'"),
    (2, lambda: app.task(run_in="fibre", name="x")(read), InvalidInput, "run_in='fibre'"),
    (3, lambda: app.task(without_context), InvalidInput, "must be the context"),
    (3, lambda: Worker({"x": without_context}, ADDRESS, "q"), InvalidInput, "must be the context"),
    (4, lambda: worker_of(with_another_state, state=Services), InvalidInput, "be a Services"),
    (4, lambda: worker_of(with_another_state), InvalidInput, r"be a dict: .*state=Other\)"),
    (4, lambda: worker_of(with_another_dict, state=Services), InvalidInput, r"Context\[dict\]"),
    (6, lambda: app.on_startup(without_state), InvalidInput, r"is called with \(state\)"),
    (6, lambda: app.after_task(never), InvalidInput, r"is called with \(ctx, outcome\)"),
    (6, lambda: untyped(before_task=without_state), InvalidInput, r"is called with \(ctx\)"),
    (6, lambda: app.on_shutdown("close"), InvalidInput, "'close' is not callable"),
    (7, lambda: App(ADDRESS, state=NeedsMore), InvalidInput, "'pool'.*without arguments"),
    (7, lambda: App(ADDRESS, state=never), InvalidInput, "open connections in on_startup"),
    (7, lambda: App(ADDRESS, state=Services()), InvalidInput, "give a class or"),
    (8, lambda: include(App(state=Other), state=Services), InvalidInput, "one state"),
    (8, lambda: include(App(state=Other)), InvalidInput, "one state"),
    (8, lambda: include(read), InvalidInput, "give an App"),
    (9, lambda: App(ADDRESS, max_payload=3), UnknownOption, "did you mean max_payload_bytes"),
    (10, lambda: App(ADDRESS, max_payload_bytes="3"), InvalidInput, "max_payload_bytes='3'"),
    (11, lambda: app.worker(concurency=3), UnknownOption, "did you mean concurrency"),
    (11, lambda: untyped(concurency=3), UnknownOption, "did you mean concurrency"),
    (11, lambda: untyped(queue="q"), UnknownOption, "did you mean queue_name"),
    (11, lambda: app.worker(cron=[]), UnknownOption, "cron"),
    (12, lambda: app.worker(concurrency="3"), InvalidInput, "concurrency='3'"),
    (12, lambda: untyped(grace_seconds="5"), InvalidInput, "grace_seconds='5'"),
    (13, lambda: read.options(delay=3), UnknownOption, "read.options .*'delay'"),
    (13, lambda: TaskOptions(delay=3), TypeError, "delay"),
    (14, lambda: read.options(delay_seconds="3"), InvalidInput, "delay_seconds='3'"),
    (14, lambda: read.options(on_existing="ignore"), InvalidInput, "on_existing='ignore'"),
    (15, lambda: app.cron("* * * * *", read), InvalidInput, "missing a required argument"),
    (15, lambda: app.cron("* * * * *", read, 5), InvalidInput, "read: path: "),
    (15, lambda: app.cron("* * * * *", read, "a", zoom=2), InvalidInput, "zoom"),
    (15, lambda: app.cron("* * * * *", read.call("a"), "b"), InvalidInput, "has its arguments"),
    (16, lambda: read.call(5), NotSerializable, "read: path: "),
    (16, lambda: read.call("a", dpi="high"), NotSerializable, "read: dpi: "),
    (17, read.call, InvalidInput, "missing a required argument: 'path'"),
    (17, lambda: read.call("a", "b"), InvalidInput, "too many positional arguments"),
    (17, lambda: read.call("a", zoom=2), InvalidInput, "unexpected keyword argument 'zoom'"),
    (19, lambda: read.handle(42), InvalidTaskId, "task id 42"),
    (19, lambda: read.handle_sync("42"), InvalidTaskId, "no ':'"),
    (20, read, TypeError, "'ctx'"),
    (20, lambda: read(object()), TypeError, "'path'"),
]


@pytest.mark.parametrize(
    ("number", "use", "error", "message"), WRONG, ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)]
)
def test_it_is_refused(
    number: int, use: Callable[[], object], error: type[Exception], message: str
) -> None:
    jobs, schedules = dict(app.jobs), list(app.crons)
    with pytest.raises(error, match=message):
        use()
    assert (app.jobs, app.crons) == (jobs, schedules), "what was refused is not there"
