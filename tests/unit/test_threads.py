"""Threads of jobs: how they are reused, abandoned and ended."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from collections.abc import AsyncIterator

import pytest

from identtqueue.worker.obstacles import CannotStart, Obstacles
from identtqueue.worker.threads import Threads
from testing.scarcity import no_more_threads
from testing.waiting import LONG_SECONDS, eventually

MOST_ABANDONED = 3


def alive() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "identtqueue job"}


@pytest.fixture
async def obstacles() -> Obstacles:
    return Obstacles()


@pytest.fixture
async def threads(obstacles: Obstacles) -> AsyncIterator[Threads]:
    threads = Threads(MOST_ABANDONED, obstacles)
    yield threads
    threads.close()
    await eventually(lambda: not alive(), lambda: f"all have ended: {alive()}")


async def test_one_after_the_other_on_one_thread(threads: Threads) -> None:
    idents = {await threads.run("job", threading.get_ident) for _ in range(50)}
    assert len(idents) == 1


async def test_as_many_threads_as_calls_at_once(threads: Threads) -> None:
    """All can block at the same time; there are never more threads than that."""
    together = threading.Barrier(8)
    for _ in range(3):
        await asyncio.gather(*(threads.run("job", together.wait) for _ in range(8)))
        assert len(alive()) == 8


@pytest.mark.slow
async def test_many_short_calls_all_come_back(threads: Threads) -> None:
    values = await asyncio.gather(*(threads.run("job", lambda n=n: n) for n in range(2_000)))
    assert values == list(range(2_000))


async def test_a_short_call_does_not_wait_for_a_long_one(threads: Threads) -> None:
    release = threading.Event()
    long = asyncio.ensure_future(threads.run("job", release.wait))
    for n in range(20):
        assert await threads.run("job", lambda n=n: n) == n
    assert not long.done()
    release.set()
    assert await long is True


async def test_calls_of_one_turn_begin_although_the_first_blocks(threads: Threads) -> None:
    release = threading.Event()
    calls = [asyncio.ensure_future(threads.run("job", f)) for f in (release.wait, *[lambda: 1] * 5)]
    assert await asyncio.gather(*calls[1:]) == [1] * 5
    release.set()
    await calls[0]


async def test_an_abandoned_thread_is_counted_and_not_reused(threads: Threads) -> None:
    release, started = threading.Event(), threading.Event()
    seen: list[int] = []

    def hang() -> None:
        seen.append(threading.get_ident())
        started.set()
        release.wait()

    call = asyncio.ensure_future(threads.run("job", hang))
    assert await asyncio.to_thread(started.wait, 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert threads.abandoned == 1
    others = {await threads.run("job", threading.get_ident) for _ in range(10)}
    assert len(others) == 1
    assert not others & set(seen)
    assert len(alive()) == 2
    release.set()
    await eventually(lambda: threads.abandoned == 0, "it is known to have ended")
    await eventually(lambda: len(alive()) == 1, "the thread has ended with its call")
    assert {await threads.run("job", threading.get_ident) for _ in range(10)} == others


async def test_cancelled_at_every_turn_of_the_loop(threads: Threads) -> None:
    """Whenever calls are cancelled, the counts are right afterwards and calls still work."""
    for turns in range(30):
        calls = [asyncio.ensure_future(threads.run("job", lambda: None)) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        together = threading.Barrier(4)
        await asyncio.gather(*(threads.run("job", together.wait) for _ in range(4)))
        await eventually(lambda: threads.abandoned == 0, "none is left behind")
        assert len(alive()) <= 8
    # If it counted too many threads, it would start none for the last of these calls.
    together = threading.Barrier(len(alive()) + 1, timeout=LONG_SECONDS)
    await asyncio.gather(*(threads.run("job", together.wait) for _ in range(together.parties)))
    threads.close()  # ends as many as it has counted
    await eventually(lambda: not alive(), "each thread is accounted for")


async def test_context_variables_reach_the_thread(threads: Threads) -> None:
    """A trace of a `before_task` hook is seen there. What the thread sets stays in the thread."""
    trace = contextvars.ContextVar("trace", default="none")
    trace.set("mine")

    def work() -> str:
        found = trace.get()
        trace.set("the thread's")
        return found

    assert [await threads.run("job", work) for _ in range(2)] == ["mine", "mine"]
    assert trace.get() == "mine"


async def test_closed_while_one_is_abandoned() -> None:
    threads = Threads(10, Obstacles())
    release = threading.Event()
    call = asyncio.ensure_future(threads.run("job", release.wait))
    await asyncio.sleep(0)
    await threads.run("job", lambda: None)
    call.cancel()
    threads.close()
    release.set()
    await eventually(lambda: not alive(), "all have ended")


def test_a_call_that_outlives_the_loop() -> None:
    """The worker has stopped, and the thread ends by itself."""
    started, release = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        release.wait()

    async def scenario() -> None:
        call = asyncio.ensure_future(Threads(10, Obstacles()).run("job", hang))
        assert await asyncio.to_thread(started.wait, 60)
        call.cancel()

    asyncio.run(scenario())
    (left,) = alive()
    release.set()
    left.join(30)
    assert not left.is_alive()


async def test_one_that_can_not_be_started_is_said_and_leaves_nothing_behind(
    threads: Threads,
) -> None:
    assert await threads.run("job", lambda: 1) == 1
    release = threading.Event()
    with no_more_threads():
        long = asyncio.ensure_future(threads.run("job", release.wait))
        await asyncio.sleep(0)
        for _ in range(5):
            with pytest.raises(CannotStart, match="can't be started: can't start new thread"):
                await threads.run("job", lambda: 2)
        release.set()
        assert await long is True
        assert await threads.run("job", lambda: 3) == 3, "the one that there is goes on"
    together = threading.Barrier(3)
    await asyncio.gather(*(threads.run("job", together.wait) for _ in range(3)))
    assert len(alive()) == 3


async def test_too_many_abandoned_ones_are_an_obstacle_until_one_has_ended(
    threads: Threads, obstacles: Obstacles, caplog: pytest.LogCaptureFixture
) -> None:
    releases = [threading.Event() for _ in range(4)]
    for number, release in enumerate(releases, 1):
        started = threading.Event()

        def hang(started: threading.Event = started, release: threading.Event = release) -> None:
            started.set()
            release.wait()

        call = asyncio.ensure_future(threads.run("hang", hang))
        assert await asyncio.to_thread(started.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert bool(obstacles) is (number >= MOST_ABANDONED)
    assert obstacles.text == (
        "threads left behind by cut-off attempts: 4 (max_abandoned_threads=3)"
    )
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.search(r"taking no more tasks: threads .*: 3 .*: job hang in \S+:\d+ \(3\)$", line)
    gone = asyncio.ensure_future(obstacles.gone())
    releases[0].set()
    await eventually(lambda: threads.abandoned == 3, "one has ended")
    assert not gone.done()
    releases[1].set()
    await gone
    assert obstacles.text is None
    for release in releases:
        release.set()
