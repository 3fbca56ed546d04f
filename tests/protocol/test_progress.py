"""Progress of an attempt: it is stored, published, fenced, and removed by the next attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from identtqueue.errors import RedisFull
from identtqueue.protocol import codec, replies
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import one_task, reporting
from identtqueue.task import Progress
from protocol.bench import FAILURE, Bench
from protocol.servers import fill


def said(bench: Bench, worker: str, attempt: int, value: object, number: int = 1) -> Call[Ack]:
    data = codec.encode_progress(value)
    return reporting.progress(worker, bench.id("a"), attempt, number, data)


def stored(bench: Bench) -> object:
    """Return the progress that a client reads, in both ways."""
    found = bench.refuses(one_task.last_progress(bench.id("a")))
    info = bench.refuses(one_task.task_info(bench.id("a")))
    assert info is not None
    assert info.progress == (found.value if found else None)
    return info.progress


def test_everything_that_progress_writes(bench: Bench) -> None:
    bench.running("w", "a")
    before = bench.snapshot()
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        channel = bench.keys.progress_channel(bench.id("a"))
        listener.subscribe(channel)
        assert listener.get_message(timeout=30) is None  # its confirmation
        assert bench.run(said(bench, "w", 1, {"page": 3})) is Ack.OK
        message = listener.get_message(timeout=30)
    assert replies.parse_progress(message["data"]) == Progress(1, 1, {"page": 3})
    key = bench.keys.task(bench.id("a"))
    assert bench.raw.hdel(key, "progress") == 1
    before[key] = replace(before[key], packed=False)
    assert bench.snapshot() == before, "nothing else"


def test_the_latest_counts(bench: Bench) -> None:
    bench.running("w", "a")
    assert stored(bench) is None
    for number, value in enumerate((0.5, None, ["b", 1])):
        bench.run(said(bench, "w", 1, value, number))
        assert stored(bench) == value


def test_only_the_owners_running_attempt_is_heard(bench: Bench) -> None:
    bench.register("w", "thief")
    assert bench.refuses(said(bench, "w", 1, "x")) is Ack.MISSING
    bench.enqueue("a")
    assert bench.refuses(said(bench, "w", 0, "x")) is Ack.LOST
    bench.claim("w")
    for worker, attempt in (("thief", 1), ("w", 0), ("w", 2)):
        assert bench.refuses(said(bench, worker, attempt, "x")) is Ack.LOST
    bench.run(said(bench, "w", 1, "half"))
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, codec.encode_value(1))]))
    assert bench.refuses(said(bench, "w", 1, "late")) is Ack.LOST
    assert stored(bench) == "half", "it is kept with the result"


def test_a_ghost_is_refused(bench: Bench) -> None:
    bench.running("ghost", "a")
    bench.run(said(bench, "ghost", 1, "ghostly"))
    bench.recover("ghost")
    bench.register("w")
    bench.claim("w")
    assert bench.refuses(said(bench, "ghost", 1, "boo")) is Ack.LOST
    assert stored(bench) is None, "the attempt that runs has said nothing yet"
    bench.run(said(bench, "w", 2, "mine"))
    assert bench.refuses(said(bench, "ghost", 1, "boo")) is Ack.LOST
    assert stored(bench) == "mine"


def test_a_repeated_task_starts_over(bench: Bench) -> None:
    bench.running("w", "a")
    bench.run(said(bench, "w", 1, "almost"))
    bench.run(reporting.retry(bench.queue, "w", bench.id("a"), 1, 0, FAILURE))
    assert stored(bench) == "almost", "how far the failed attempt had got"
    bench.claim("w")
    assert stored(bench) is None


def test_a_dead_letter_keeps_it(bench: Bench) -> None:
    bench.running("w", "a")
    bench.run(said(bench, "w", 1, "page 7"))
    bench.run(reporting.bury(bench.queue, "w", bench.id("a"), 1, FAILURE))
    assert stored(bench) == "page 7"


def test_a_full_server_takes_none_and_the_task_can_still_end(new_redis_server, queue: str) -> None:
    bench = Bench(new_redis_server(), queue)
    (attempt,) = bench.running("w", "a")
    fill(bench.raw)
    with pytest.raises(RedisFull):
        bench.refuses(said(bench, "w", 1, "half"))
    done = [(attempt.task_id, 1, codec.encode_value(1))]
    assert bench.run(reporting.finish(queue, "w", done)) == [Ack.OK]
    bench.close()


def test_newer_is_by_attempt_and_then_by_number() -> None:
    assert Progress(1, 1, 0).is_newer_than(None)
    assert Progress(1, 2, 0).is_newer_than(Progress(1, 1, 0))
    assert Progress(2, 1, 0).is_newer_than(Progress(1, 9, 0))
    assert not Progress(1, 1, 0).is_newer_than(Progress(1, 1, 0))
    assert not Progress(1, 9, 0).is_newer_than(Progress(2, 1, 0))
