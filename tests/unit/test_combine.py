"""Combining calls of several threads into batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from identtqueue.errors import RedisUnavailable
from identtqueue.transport.combine import BATCH_ITEMS, BATCH_SIZE, Combiner

SECONDS = 60


class Work:
    """Work that doubles numbers. `gate` holds up a batch, so that others gather behind it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.fails: BaseException | None = None

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.begun.set()
        assert self.gate.wait(SECONDS)
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        return [2 * item for item in items]


def gathered(combiner: Combiner[int], number: int) -> bool:
    return combiner.waiting >= number


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        pass


def test_alone_it_is_a_plain_call() -> None:
    work = Work()
    combiner = Combiner(work)
    assert combiner.run([1, 2]) == [2, 4]
    assert combiner.run([]) == []
    assert work.batches == [[1, 2], []]


def test_what_gathers_goes_together() -> None:
    work = Work()
    work.gate.clear()
    combiner = Combiner(work)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(combiner.run, [0])
        assert work.begun.wait(SECONDS)
        others = [pool.submit(combiner.run, [n, -n]) for n in range(1, 9)]
        until(lambda: gathered(combiner, 8))
        work.gate.set()
        assert first.result(SECONDS) == [0]
        assert [other.result(SECONDS) for other in others] == [[2 * n, -2 * n] for n in range(1, 9)]
    assert len(work.batches) == 2


def test_a_batch_is_bounded() -> None:
    work = Work()
    work.gate.clear()
    combiner = Combiner(work)
    with ThreadPoolExecutor(5) as pool:
        pool.submit(combiner.run, [0])
        assert work.begun.wait(SECONDS)
        others = [pool.submit(combiner.run, range(BATCH_ITEMS // 2)) for _ in range(4)]
        until(lambda: gathered(combiner, 4))
        work.gate.set()
        wait(others, SECONDS)
        assert len(combiner.run(range(2 * BATCH_ITEMS))) == 2 * BATCH_ITEMS, (
            "a large one goes alone"
        )
    assert [len(batch) for batch in work.batches] == [1, BATCH_ITEMS, BATCH_ITEMS, 2 * BATCH_ITEMS]


def test_an_error_belongs_to_all_of_its_batch_and_to_no_other() -> None:
    work = Work()
    work.gate.clear()
    work.fails = ValueError("no")
    combiner = Combiner(work)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(combiner.run, [0])
        assert work.begun.wait(SECONDS)
        others = [pool.submit(combiner.run, [n]) for n in (1, 2)]
        until(lambda: gathered(combiner, 2))
        work.gate.set()
        with pytest.raises(ValueError, match="no"):
            first.result(SECONDS)
        assert [other.result(SECONDS) for other in others] == [[2], [4]]


class Interrupt(BaseException):
    pass


def test_the_others_fail_if_the_sending_thread_is_interrupted() -> None:
    """Threads that came later are not affected."""
    work = Work()
    combiner = Combiner(work)
    hold, held = threading.Event(), threading.Event()

    def act() -> None:
        held.set()
        assert hold.wait(SECONDS)

    with ThreadPoolExecutor(4) as pool:
        pool.submit(combiner.alone, act)
        assert held.wait(SECONDS)
        work.gate.clear()
        work.fails = Interrupt()
        batch = [pool.submit(combiner.run, [n]) for n in (1, 2)]
        until(lambda: gathered(combiner, 2))
        hold.set()
        assert work.begun.wait(SECONDS)
        late = pool.submit(combiner.run, [3])
        until(lambda: gathered(combiner, 1))
        work.gate.set()
        errors = {type(future.exception(SECONDS)) for future in batch}
        assert errors == {Interrupt, RedisUnavailable}
        assert late.result(SECONDS) == [6]
    assert combiner.run([4]) == [8]


def test_an_interrupted_waiting_thread_delays_no_other() -> None:
    work = Work()
    work.gate.clear()
    combiner = Combiner(work)

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(combiner.run, [1])
            assert work.begun.wait(SECONDS)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupt):
                combiner.run([2])  # the main thread: it would have been the next to lead
            later = pool.submit(combiner.run, [3])
            until(lambda: gathered(combiner, 1))
            work.gate.set()
            assert (first.result(SECONDS), later.result(SECONDS)) == ([2], [6])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert work.batches == [[1], [3]]


def test_the_others_of_a_waiting_batch_go_on_if_one_is_interrupted() -> None:
    """The main thread is interrupted, which came first and would have sent the batch."""
    work = Work()
    work.gate.clear()
    combiner = Combiner(work)

    def interrupt(*_: object) -> None:
        raise Interrupt

    def follow() -> list[int]:
        until(lambda: gathered(combiner, 1))
        return combiner.run([3])

    def kill() -> None:
        until(lambda: gathered(combiner, 2))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(combiner.run, [1])
            assert work.begun.wait(SECONDS)
            follower, killer = pool.submit(follow), pool.submit(kill)
            with pytest.raises(Interrupt):
                combiner.run([2])
            killer.result(SECONDS)
            work.gate.set()
            assert (first.result(SECONDS), follower.result(SECONDS)) == ([2], [6])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert work.batches == [[1], [3]]
    assert combiner.waiting == 0
    assert combiner.run([4]) == [8], "no turn is lost"


def test_big_ones_and_small_ones_take_turns() -> None:
    """However many big ones have gathered, a small one waits for one of them at most."""
    work = Work()
    work.gate.clear()
    combiner = Combiner(work, size_of=lambda item: BATCH_SIZE if item >= 100 else 1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(combiner.run, [0])
        assert work.begun.wait(SECONDS)
        big = [pool.submit(combiner.run, [100 + n]) for n in range(4)]
        until(lambda: gathered(combiner, 4))
        small = [pool.submit(combiner.run, [n]) for n in (1, 2)]
        until(lambda: gathered(combiner, 6))
        work.gate.set()
        wait([first, *big, *small], SECONDS)
    sizes = [[item >= 100 for item in batch] for batch in work.batches]
    assert sizes == [[False], [True], [False, False], [True], [True], [True]]


def test_alone_means_between_batches() -> None:
    combiner = Combiner(Work())
    inside = threading.Lock()
    seen = []

    def act() -> None:
        assert inside.acquire(blocking=False)
        seen.append(1)
        inside.release()

    def work(items: list[int]) -> list[int]:
        assert inside.acquire(blocking=False)
        inside.release()
        return items

    combiner = Combiner(work)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(combiner.run, [n]) for n in range(400)]
        acts = [pool.submit(combiner.alone, act) for _ in range(40)]
        assert [call.result(SECONDS) for call in calls] == [[n] for n in range(400)]
        for done in acts:
            done.result(SECONDS)
    assert len(seen) == 40


def test_many_threads_each_get_their_own_answers() -> None:
    combiner = Combiner(lambda items: [2 * item for item in items])

    def calls(thread: int) -> bool:
        return all(combiner.run([thread, n, -n]) == [2 * thread, 2 * n, -2 * n] for n in range(300))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(calls, range(16)))
