"""Gauges: the numbers of a worker at one moment."""

from __future__ import annotations

import msgspec


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a worker at one moment.

    `Worker.gauges` asks each number of the part that owns it.

    Attributes:
        running: attempts that run.
        concurrency: attempts that may run at the same time.
        abandoned_threads: threads left behind by cut-off attempts that are still running.
        abandoned_attempts: attempts left behind that still run in the event loop.
        processes: processes for jobs.
        draining: whether the worker drains.
        reconnects: connections to Redis that were opened again, since the worker was made.
        loop_blocked_seconds: how long the event loop was blocked in all, since it was started.
    """

    running: int
    concurrency: int
    abandoned_threads: int
    abandoned_attempts: int
    processes: int
    draining: bool
    reconnects: int = 0
    loop_blocked_seconds: float = 0.0
