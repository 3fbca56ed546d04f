"""Help for tests of applications that use idenTTqueue. docs/testing.md shows how to use it.

- `Recorder` records what an app enqueues, and runs nothing.
- `Inline` runs the jobs in the test's own process, without a server. It uses the real codec,
  conversion of arguments, hooks, time-outs and retry policy, and a clock that the test moves.
- `BurstWorker` runs them with the real worker, on a real server: `TestServer` finds or starts one.
- `make_context` makes a context for a test that calls the function of a job.
- `firings` and `cron_call` answer when a schedule fires, and what it enqueues.

With pytest, use the fixtures of `identtqueue.testing.plugin`. This package imports no test
framework, and each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from identtqueue import load_name

if TYPE_CHECKING:
    from identtqueue.testing.burst import BurstWorker as BurstWorker
    from identtqueue.testing.context import RecordingContext as RecordingContext
    from identtqueue.testing.context import make_context as make_context
    from identtqueue.testing.cron import Firing as Firing
    from identtqueue.testing.cron import cron_call as cron_call
    from identtqueue.testing.cron import firings as firings
    from identtqueue.testing.enqueued import EnqueuedTask as EnqueuedTask
    from identtqueue.testing.inline import Inline as Inline
    from identtqueue.testing.ran import JobsFailed as JobsFailed
    from identtqueue.testing.ran import Ran as Ran
    from identtqueue.testing.ran import RanAttempt as RanAttempt
    from identtqueue.testing.recorder import Recorder as Recorder
    from identtqueue.testing.server import TestServer as TestServer

_HOME = {
    "BurstWorker": "burst",
    "EnqueuedTask": "enqueued",
    "Firing": "cron",
    "Inline": "inline",
    "JobsFailed": "ran",
    "Ran": "ran",
    "RanAttempt": "ran",
    "Recorder": "recorder",
    "RecordingContext": "context",
    "TestServer": "server",
    "cron_call": "cron",
    "firings": "cron",
    "make_context": "context",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - it is a list, of the names above


def __getattr__(name: str) -> Any:
    return load_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return __all__
