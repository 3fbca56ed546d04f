"""Acts on tasks: what each does, in bounded steps, resumed, broken off and killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identtqueue import Client, InvalidInput, State, TaskCancelled, TaskOptions
from identtqueue.admin import Act, ActProgress, Admin, BlockingAdmin, Filter, Place
from identtqueue.limits import JobLimits
from identtqueue.protocol import codec
from identtqueue.protocol.calls import claiming, enqueueing, moving, reporting, scheduling
from identtqueue.task import Failure, Task
from protocol.bench import FAILURE, Bench
from testing.invariants import check_containers, check_invariants
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import Serve

HOUR_MS = 3_600_000

_FILL = """
for i = 1, tonumber(ARGV[3]) do
  local id = ARGV[2] .. i
  redis.call('HSET', ARGV[1] .. id, 'state', 'failed', 'payload', ARGV[4], 'function', 'job',
    'enqueued_at', i, 'started_at', 1, 'finished_at', i, 'attempt', 1, 'failures', 1, 'error',
    ARGV[5])
  redis.call('PEXPIRE', ARGV[1] .. id, 86400000)
  redis.call('ZADD', KEYS[1], i, id)
end
"""


def bury_many(bench: Bench, number: int) -> None:
    """Make so many dead letters, 1 to `number`, the last one the newest."""
    payload = codec.encode_task(Task("job", ("x",)))
    keys = bench.keys
    arguments = (keys.task_prefix, f"{bench.queue}:", number, payload, FAILURE)
    bench.raw.eval(_FILL, 1, keys.dead, *arguments)


def bury(bench: Bench, job: str, *names: str, failure: bytes = FAILURE) -> None:
    """Make dead letters of a job."""
    worker = f"w-{job}"
    bench.register(worker)
    bench.run(enqueueing.enqueue(bench.queue, [bench.task(name, job) for name in names]))
    for attempt in bench.claim(worker):
        call = reporting.bury(bench.queue, worker, attempt.task_id, attempt.number, failure)
        bench.run(call)


async def all_steps(steps: object) -> list[ActProgress]:
    return [step async for step in steps]  # type: ignore[attr-defined]


def state(bench: Bench, name: str) -> str | None:
    return bench.field(name, "state")


def ids(bench: Bench, *names: str) -> list[str]:
    return [bench.id(name) for name in names]


# --- what each does ---


async def test_dead_letters_of_one_job_and_error_are_replayed(admin: Admin, bench: Bench) -> None:
    other = codec.encode_failure(Failure("builtins.KeyError", "no"))
    bury(bench, "read", "a", "b")
    bury(bench, "write", "c")
    bury(bench, "other", "d", failure=other)
    wanted = Filter(job="read", error="ValueError")
    (step,) = await all_steps(admin.act(Act.REPLAY, bench.queue, Place.DEAD, wanted))
    assert (step.scanned, step.total, step.matched, step.changed) == (4, 4, 2, 2)
    assert (step.cursor, step.done) == (None, True)
    assert sorted(bench.pending()) == ["a", "b"]
    assert (state(bench, "c"), state(bench, "d")) == ("failed", "failed")
    (entry,) = await admin.audit(bench.queue)
    assert (entry.who, entry.act, entry.matched, entry.changed) == ("ada", "replay", 2, 2)
    assert entry.what == "all dead job=read error=ValueError"
    check_invariants(bench.raw, bench.queue)


async def test_dead_letters_are_discarded(admin: Admin, bench: Bench) -> None:
    bury(bench, "read", "a", "b")
    (step,) = await all_steps(
        admin.act(Act.DISCARD, bench.queue, Place.DEAD, Filter(id_prefix="a"))
    )
    assert step.changed == 1
    assert (state(bench, "a"), state(bench, "b")) == (None, "failed")


async def test_tasks_that_wait_are_cancelled_wherever_they_wait(admin: Admin, bench: Bench) -> None:
    bench.register("w", capped=JobLimits(max_running=1))
    capped = [bench.task(name, "capped") for name in ("a", "b", "c")]
    bench.run(enqueueing.enqueue(bench.queue, capped))
    assert len(bench.claim("w")) == 1
    bench.enqueue("d", "e")
    bench.enqueue("later", delay=HOUR_MS)
    for place, names in ((Place.HELD, "bc"), (Place.PENDING, "de"), (Place.SCHEDULED, ["later"])):
        (step,) = await all_steps(admin.act(Act.CANCEL, bench.queue, place))
        assert (step.matched, step.changed) == (len(names), len(names)), place
        assert [state(bench, name) for name in names] == ["cancelled"] * len(names)
    assert state(bench, "a") == "running"
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("idtq:control:w")
        (step,) = await all_steps(admin.act(Act.CANCEL, bench.queue, Place.RUNNING))
        assert (step.matched, step.changed) == (1, 1)
        message = None
        while message is None:
            message = listener.get_message(timeout=30)
    assert message["data"] == f"cancel {bench.id('a')} 1".encode()
    assert await admin.act_on(Act.CANCEL, ids(bench, "a")) == [], "it was asked before"
    check_invariants(bench.raw, bench.queue)


async def test_scheduled_tasks_are_put_off_and_started(admin: Admin, bench: Bench) -> None:
    bench.enqueue("a", "b", delay=HOUR_MS)
    bench.enqueue("c", delay=HOUR_MS * 24)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    soon = Filter(id_prefix="a")
    (step,) = await all_steps(admin.act(Act.RESCHEDULE, bench.queue, Place.SCHEDULED, soon, at=at))
    assert (step.matched, step.changed) == (1, 1)
    assert bench.raw.zscore(bench.keys.scheduled, bench.id("a")) == at.timestamp() * 1000
    (entry,) = await admin.audit(bench.queue)
    assert entry.what == f"to {at:%Y-%m-%dT%H:%M:%SZ}: all scheduled id_prefix=a"
    later = datetime.now(UTC) + timedelta(days=3)
    steps = await all_steps(admin.act(Act.RESCHEDULE, bench.queue, Place.SCHEDULED, at=later))
    assert steps[-1].changed == 3
    steps = await all_steps(admin.act(Act.START_NOW, bench.queue, Place.SCHEDULED))
    assert steps[-1].changed == 3
    assert bench.run(scheduling.promote(bench.queue)).moved == 3
    assert sorted(bench.pending()) == ["a", "b", "c"]


async def test_a_purge_tells_those_who_wait(admin: Admin, client: Client, queue: str) -> None:
    waiting = [await client.enqueue_job(queue, "job", n) for n in range(150)]
    options = TaskOptions(delay_seconds=3600)
    waiting.append(await client.enqueue_job(queue, "job", task_options=options))
    waits = [asyncio.create_task(client.wait_for_result(t, 60)) for t in waiting]
    while await admin.audit(queue) == [] or not all(wait.done() for wait in waits):
        for place in (Place.PENDING, Place.SCHEDULED):
            async for _ in admin.purge(queue, place):
                pass
        await asyncio.sleep(0)
    for wait in waits:
        with pytest.raises(TaskCancelled):
            await wait
    assert (await client.get_task(waiting[0])).failure.message == "cancelled by an administrator"
    entries = await admin.audit(queue)
    assert {entry.act for entry in entries} == {"purge"}
    assert sum(entry.changed for entry in entries) == 151


async def test_dead_letters_are_purged(admin: Admin, bench: Bench) -> None:
    bury_many(bench, 250)
    steps = await all_steps(admin.purge(bench.queue, Place.DEAD))
    assert [step.changed for step in steps] == [50, 100, 150, 200, 250]
    assert not bench.raw.exists(bench.keys.dead)


async def test_acts_on_ids_of_several_queues(admin: Admin, bench: Bench, client: Client) -> None:
    other = f"{bench.queue}-other"
    bury(bench, "read", "a", "b")
    pending = await client.enqueue_job(other, "job")
    given = [*ids(bench, "b", "a", "b", "never"), f"{other}:never"]
    assert await admin.act_on(Act.REPLAY, given) == ids(bench, "b", "a")
    assert await admin.act_on(Act.CANCEL, [pending, bench.id("a")]) == [pending, bench.id("a")]
    newest, first = await admin.audit(bench.queue)
    assert (newest.act, newest.matched, newest.changed) == ("cancel", 1, 1)
    assert (first.act, first.matched, first.changed) == ("replay", 3, 2)
    assert first.what == " ".join(ids(bench, "b", "a", "never"))
    assert [entry.changed for entry in await admin.audit(other)] == [1, 0]
    assert await client.get_status(pending) is State.CANCELLED


async def test_an_act_that_matches_nothing_is_recorded(admin: Admin, queue: str) -> None:
    (step,) = await all_steps(admin.act(Act.REPLAY, queue, Place.DEAD))
    assert step == ActProgress(0, 0, 0, 0, None, done=True)
    (entry,) = await admin.audit(queue)
    assert (entry.what, entry.matched, entry.changed) == ("all dead", 0, 0)


WRONG = {
    "a place": ({"act": Act.REPLAY, "place": Place.PENDING}, "for dead ones"),
    "what has ended": ({"act": Act.DISCARD, "place": Place.ENDED}, "for dead ones"),
    "no time": ({"act": Act.RESCHEDULE, "place": Place.SCHEDULED}, "give it for reschedule"),
    "a time": ({"at": datetime.now(UTC)}, "give it for reschedule"),
    "a naive time": (
        {"act": Act.RESCHEDULE, "place": Place.SCHEDULED, "at": datetime(2030, 1, 1)},  # noqa: DTZ001
        "aware",
    ),
    "no queue": ({"act": Act.MOVE}, "give it for move"),
    "a queue": ({"to_queue": "other"}, "give it for move"),
    "a bad queue": ({"act": Act.MOVE, "to_queue": "Not A Name"}, "queue name"),
    "the same queue": ({"act": Act.MOVE, "to_queue": "q"}, "in that queue already"),
    "a bad cursor": ({"cursor": "nonsense"}, "cursor"),
    "no act": ({"act": "destroy"}, "must be one of"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_refused(admin: Admin, name: str) -> None:
    arguments, said = WRONG[name]
    with pytest.raises(InvalidInput, match=said):
        await all_steps(
            admin.act(**({"act": Act.REPLAY, "queue": "q", "place": Place.DEAD} | arguments))
        )
    assert await admin.audit("q") == [], "nothing was done"


# --- in steps ---


async def test_steps_are_bounded_and_go_on_from_a_cursor(admin: Admin, bench: Bench) -> None:
    bury_many(bench, 1_000)
    seen = []
    async for step in admin.act(Act.REPLAY, bench.queue, Place.DEAD):
        seen.append(step)
        if step.changed >= 300:
            break
    assert [step.changed for step in seen] == list(range(50, 301, 50))
    assert all(step.scanned <= 500 * len(seen) for step in seen)
    assert bench.raw.llen(bench.keys.pending) == 300
    (entry,) = await admin.audit(bench.queue)
    assert (entry.matched, entry.changed) == (300, 300), "it says how far it has come"
    rest = await all_steps(admin.act(Act.REPLAY, bench.queue, Place.DEAD, cursor=seen[-1].cursor))
    assert rest[-1].changed == 700
    assert bench.raw.llen(bench.keys.pending) == 1_000
    assert not bench.raw.exists(bench.keys.dead)
    check_containers(bench.raw, bench.queue)


async def test_a_filter_that_seldom_matches_is_scanned_in_parts(admin: Admin, bench: Bench) -> None:
    bury_many(bench, 1_200)
    for number in (7, 700):
        key = bench.keys.task(bench.id(str(number)))
        bench.raw.hset(key, "function", "rare")
    steps = await all_steps(admin.act(Act.DISCARD, bench.queue, Place.DEAD, Filter(job="rare")))
    assert [step.scanned for step in steps] == [500, 1_000, 1_200]
    assert [step.changed for step in steps] == [0, 1, 2]
    assert bench.raw.zcard(bench.keys.dead) == 1_198


async def test_pending_tasks_in_the_middle_are_cancelled_while_others_come_and_go(
    admin: Admin, bench: Bench
) -> None:
    """Tasks from the beginning are found, and those that join the queue are left alone."""
    for first in range(0, 2_000, 200):
        names = [f"{'x' if i % 3 else 'y'}{i}" for i in range(first, first + 200)]
        bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task(n, n[0]) for n in names]))
    bench.register("w")
    taken, number = [], 0
    async for _ in admin.act(Act.CANCEL, bench.queue, Place.PENDING, Filter(job="x")):
        number += 1
        taken += bench.redis.run(claiming.claim(bench.queue, "w", 20)).attempts
        bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task(f"new{number}", "x")]))
    started = {attempt.task_id.split(":")[1] for attempt in taken}
    for i in range(2_000):
        name = f"{'x' if i % 3 else 'y'}{i}"
        expected = "running" if name in started else "cancelled" if i % 3 else "pending"
        assert state(bench, name) == expected, name
    new = {state(bench, f"new{n}") for n in range(1, number + 1)} - {"running"}
    assert new <= {"pending"}
    cancelled = sum(i % 3 > 0 for i in range(2_000)) - sum(n[0] == "x" for n in started)
    (entry,) = await admin.audit(bench.queue)
    assert entry.changed == cancelled
    check_invariants(bench.raw, bench.queue)


async def test_two_administrators_at_once_change_each_task_once(
    redis_server: RedisServer, bench: Bench
) -> None:
    bury_many(bench, 600)

    async def replay(actor: str) -> int:
        async with Admin(redis_server.address, actor=actor) as admin:
            steps = await all_steps(admin.act(Act.REPLAY, bench.queue, Place.DEAD))
            return steps[-1].changed

    changed = await asyncio.gather(replay("ada"), replay("grace"))
    assert sum(changed) == 600
    assert bench.raw.llen(bench.keys.pending) == 600


def test_the_blocking_face_acts_in_steps(redis_server: RedisServer, bench: Bench) -> None:
    bury_many(bench, 450)
    with BlockingAdmin(redis_server.address, actor="ada") as admin:
        for step in admin.act(Act.REPLAY, bench.queue, Place.DEAD):
            if step.changed == 200:
                break
        del step
        assert bench.raw.llen(bench.keys.pending) == 200
        steps = list(admin.purge(bench.queue, Place.DEAD))
        assert [step.changed for step in steps] == [50, 100, 150, 200, 250]
        assert admin.act_on(Act.CANCEL, ids(bench, "450")) == ids(bench, "450")
        acts = [(entry.act, entry.changed) for entry in admin.audit(bench.queue)]
        assert acts == [("cancel", 1), ("purge", 250), ("replay", 200)]


# --- moves ---


@pytest.fixture
def target(bench: Bench, redis_server: RedisServer) -> object:
    """Make a queue to move tasks to."""
    other = Bench(redis_server, f"{bench.queue}-other")
    yield other
    other.close()


async def test_dead_letters_are_moved_and_run_in_the_other_queue(
    admin: Admin, bench: Bench, target: Bench, serve: Serve, client: Client
) -> None:
    async def read(ctx: object, name: str) -> list[str]:
        return [ctx.task_id, name]  # type: ignore[attr-defined]

    bury(bench, "read", "a", "b")
    steps = await all_steps(admin.act(Act.MOVE, bench.queue, Place.DEAD, to_queue=target.queue))
    assert steps[-1].changed == 2
    assert state(bench, "a") is None
    await serve({"read": read}, queue_names=[target.queue])
    for name in ("a", "b"):
        assert await client.wait_for_result(target.id(name), 30) == [target.id(name), name]
    for queue in (bench.queue, target.queue):
        (entry,) = await admin.audit(queue)
        assert (entry.act, entry.matched, entry.changed) == ("move", 2, 2)
        assert entry.what == f"from queue {bench.queue} to queue {target.queue}: all dead"


async def test_tasks_that_wait_are_moved_with_their_options(
    admin: Admin, bench: Bench, target: Bench, client: Client
) -> None:
    bench.enqueue("a", unique="key", unique_ttl=HOUR_MS, ttl=5_000, expires=HOUR_MS)
    bench.enqueue("later", delay=HOUR_MS)
    due = bench.raw.zscore(bench.keys.scheduled, bench.id("later"))
    expires = bench.field("a", "expires_at")
    waits = asyncio.create_task(client.wait_for_result(bench.id("a"), 60))
    moved = ids(bench, "a", "later", "never")
    assert await admin.act_on(Act.MOVE, moved, to_queue=target.queue) == ids(bench, "a", "later")
    with pytest.raises(TaskCancelled):
        await waits
    assert (await client.get_task(bench.id("a"))).failure.message == (
        f"moved to queue {target.queue}"
    )
    assert target.raw.zscore(target.keys.scheduled, target.id("later")) == due
    target.run(scheduling.promote(target.queue))
    assert target.pending() == ["a"]
    shown = [target.field("a", field) for field in ("unique", "ttl", "expires_at", "function")]
    assert shown == ["key", "5000", expires, "job"]
    assert target.raw.get(target.keys.unique_prefix + "key") == target.id("a").encode()
    assert not bench.raw.exists(bench.keys.unique_prefix + "key")
    for one in (bench, target):
        check_invariants(one.raw, one.queue)


async def test_what_the_other_queue_refuses_stays(
    admin: Admin, bench: Bench, target: Bench
) -> None:
    target.enqueue("a")
    target.enqueue("holder", unique="key", unique_ttl=HOUR_MS)
    bench.enqueue("a", "b")
    bench.enqueue("c", unique="key", unique_ttl=HOUR_MS)
    moved = await admin.act_on(Act.MOVE, ids(bench, "a", "b", "c"), to_queue=target.queue)
    assert moved == ids(bench, "b")
    assert bench.pending() == ["a", "c"]
    assert target.raw.hget(target.keys.task(target.id("a")), "origin") is None


async def test_a_task_that_starts_in_the_middle_of_its_move_stays(
    admin: Admin, bench: Bench, target: Bench
) -> None:
    """The steps of a move, with a claim between the first and the second."""
    bench.register("w")
    bench.enqueue("a")
    task = bench.run(moving.movable(bench.id("a")))
    target.run(moving.receive(target.queue, {target.id("a"): task.fields}))
    assert len(bench.claim("w")) == 1
    assert await admin.act_on(Act.MOVE, ids(bench, "a"), to_queue=target.queue) == []
    assert state(bench, "a") == "running"
    assert state(target, "a") == "scheduled", "which its own mover cancels"


async def test_a_move_that_was_broken_off_is_repeated(
    admin: Admin, bench: Bench, target: Bench
) -> None:
    """After the first of its steps, and even after the task has run in its new queue."""
    bury(bench, "job", "a", "b")
    for name in ("a", "b"):
        task = bench.run(moving.movable(bench.id(name)))
        target.run(moving.receive(target.queue, {target.id(name): task.fields}))
    target.register("w")
    target.fall_due("b")
    (attempt,) = target.claim("w")
    target.run(reporting.finish(target.queue, "w", [(attempt.task_id, 1, b"\xc0")]))
    steps = await all_steps(admin.act(Act.MOVE, bench.queue, Place.DEAD, to_queue=target.queue))
    assert steps[-1].changed == 2
    assert (state(target, "a"), state(target, "b")) == ("scheduled", "succeeded")
    assert target.names(a.task_id for a in target.claim("w")) == ["a"]
    assert not bench.raw.exists(bench.keys.dead)


# --- killed ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "by_cursor"),
    [(Act.REPLAY, False), (Act.REPLAY, True), (Act.DISCARD, False)],
    ids=["replay from the start", "replay by its cursor", "discard from the start"],
)
async def test_an_act_that_is_killed_begins_again(
    redis_server: RedisServer, admin: Admin, bench: Bench, act: Act, by_cursor: bool
) -> None:
    bury_many(bench, 10_000)
    cursor = await kill_in_the_middle(redis_server, bench.queue, act)
    left = bench.raw.zcard(bench.keys.dead)
    assert 0 < left < 10_000
    (entry,) = await admin.audit(bench.queue)
    assert (entry.who, entry.act, entry.changed) == ("killed", act, 10_000 - left)
    again = admin.act(act, bench.queue, Place.DEAD, cursor=cursor if by_cursor else None)
    assert (await all_steps(again))[-1].changed == left
    assert not bench.raw.exists(bench.keys.dead)
    replayed = 10_000 if act is Act.REPLAY else 0
    assert bench.raw.llen(bench.keys.pending) == replayed
    assert int(bench.raw.hget(bench.keys.stats, "replayed") or 0) == replayed
    assert [entry.changed for entry in await admin.audit(bench.queue)] == [left, 10_000 - left]
    check_containers(bench.raw, bench.queue)


@pytest.mark.slow
async def test_a_move_that_is_killed_loses_nothing_and_doubles_nothing(
    redis_server: RedisServer, admin: Admin, bench: Bench, target: Bench
) -> None:
    bury_many(bench, 5_000)
    await kill_in_the_middle(redis_server, bench.queue, Act.MOVE, target.queue)
    left = bench.raw.zcard(bench.keys.dead)
    assert 0 < left < 5_000
    steps = await all_steps(admin.act(Act.MOVE, bench.queue, Place.DEAD, to_queue=target.queue))
    assert steps[-1].changed == left
    assert not bench.raw.exists(bench.keys.dead)
    assert list(bench.raw.scan_iter(bench.keys.task_prefix + "*")) == []
    assert target.raw.zcard(target.keys.scheduled) == 5_000, "each once"
    most = target.raw.zrange(target.keys.scheduled, -1, -1, withscores=True)[0][1]
    assert most <= target.now_ms() + moving.MOVE_HOLD_MS, "and none waits longer than the hold"
    entries = await admin.audit(bench.queue)
    assert [entry.changed for entry in entries] == [left, 5_000 - left]


async def kill_in_the_middle(server: RedisServer, queue: str, act: Act, *more: str) -> str:
    """Let a process act, and kill it after some of its steps. Return the last cursor it told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("killed.py"))),
        *(server.address, queue, act, *more),
        env=environment(server.address),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    changed, cursor = 0, b""
    async with asyncio.timeout(60):
        while changed < 1_000:
            number, cursor = (await process.stdout.readline()).split()
            changed = int(number)
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    return cursor.decode()
