"""The ACL of each role: it is enough but not too much, and a missing right gives a clear error."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from identtqueue import Client, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.cli import main
from identtqueue.errors import RedisAuthFailed
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import counting, keys, roles, scripts
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import (
    acting,
    bridge,
    checkup,
    claiming,
    enqueueing,
    inspecting,
    leasing,
    listing,
    moving,
    one_task,
    record,
    recovering,
    registry,
    reporting,
    scheduling,
    server_facts,
)
from identtqueue.protocol.calls.bridge import Adoptee
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.keys import BridgeKeys
from identtqueue.protocol.roles import Role, rules
from identtqueue.task import Failure
from identtqueue.transport import refusals
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.login import open_blocking
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber
from protocol.bench import FAILURE, LEASE_MS, Bench
from testing.redis_server import RedisServer
from testing.serving import serving

PASSWORD: Final = "sesame"
HOUR_MS: Final = 3_600_000

Run = Callable[[Call[Any]], Any]


class Account:
    """A user with the rules of a role, and a connection for it."""

    def __init__(self, bench: Bench, address: str, words: list[str]) -> None:
        self.name = f"user-{secrets.token_hex(4)}"
        bench.raw.execute_command("ACL", "SETUSER", self.name, "on", f">{PASSWORD}", *words)
        self.settings = RedisSettings(address=address, username=self.name, password=PASSWORD)
        self._redis = blocking_redis(self.settings, client_name="tests", retry_for_seconds=0)

    def run(self, call: Call[Any]) -> Any:
        return self._redis.run(call)

    def listen(self, channel: str) -> None:
        """Subscribe, and stop."""
        connection = open_blocking(self.settings, "tests")
        try:
            for word in ("SUBSCRIBE", "UNSUBSCRIBE"):
                connection.send_command(word, channel, check_health=False)
                connection.read_response()
        except Exception as error:
            raise refusals.translate(error) from error
        finally:
            connection.disconnect()

    def select(self) -> None:
        """Log in to another database."""
        settings = RedisSettings(
            address=self.settings.address + "/1", username=self.name, password=PASSWORD
        )
        open_blocking(settings, "tests").disconnect()

    def close(self) -> None:
        self._redis.close()


# --- all that a role does ---


def produce(user: Account, bench: Bench) -> None:
    q, run = bench.queue, user.run
    bench.raw.delete(bench.keys.meta)  # as on a queue that nobody has used
    fresh = {"unique": "key", "unique_ttl": HOUR_MS}
    run(enqueueing.enqueue(q, [bench.task("a", **fresh), bench.task("b"), bench.task("a")]))
    run(enqueueing.enqueue(q, [bench.task("again", **fresh), bench.task("later", delay=HOUR_MS)]))
    channel = keys.reply_channel("me")
    user.listen(channel)
    run(registry.enlist([q]))
    run(one_task.await_result(bench.id("a"), channel))
    run(one_task.await_result(bench.id("later"), channel))
    run(one_task.task_info(bench.id("a")))
    run(one_task.cancel(bench.id("a")))
    run(one_task.cancel(bench.id("later")))
    bench.enqueue("dead", "last")
    for name in ("dead", "b", "last"):  # with those before it and behind it the list is empty
        run(one_task.cancel(bench.id(name)))
    assert not bench.raw.exists(bench.keys.pending)
    bench.register("w")
    bench.enqueue("running")
    bench.claim("w")
    run(one_task.cancel(bench.id("running")))
    limited(bench)
    bench.enqueue("unseen")
    run(inspecting.depth(q))
    run(one_task.cancel(bench.id("held")))
    suspected(bench, "taken")
    run(one_task.cancel(bench.id("taken")))


def work(user: Account, bench: Bench) -> None:
    q, run = bench.queue, user.run
    user.listen(keys.control_channel("me"))
    run(leasing.register(q, "me", LEASE_MS, {}))
    run(registry.enlist([q]))
    for report in (1, 2):
        run(reporting.count(q, "me", report, {"job": counting.pack([1] * 52, {})}))
    run(leasing.extend(q, "me", LEASE_MS))
    run(inspecting.workers(q))
    run(recovering.connected(["me"]))
    run(claiming.block_for_work([q], 0.001))
    firing = bench.task("firing")
    fires = {firing.task_id: bench.now_ms() + HOUR_MS}
    run(scheduling.schedule(q, "cron", "new", firing, fires))
    unique = {"unique": "key", "unique_ttl": HOUR_MS}
    run(enqueueing.enqueue(q, [bench.task("unique", **unique)]))
    run(enqueueing.enqueue(q, [bench.task("unique-too", **unique)]))
    names = ("done", "again", "dead", "stopped", "back", "expired")
    bench.enqueue(*names[:-1])
    bench.enqueue("expired", expires=HOUR_MS)
    bench.enqueue("due", delay=HOUR_MS)
    bench.fall_due("due")
    bench.expire("expired")
    for name in ("unique", *names):
        bench.run(one_task.await_result(bench.id(name), keys.reply_channel("somebody")))
    claimed = {a.task_id: a.number for a in run(claiming.claim(q, "me", 10)).attempts}
    run(claiming.in_flight(q, "me"))
    run(one_task.task_info(bench.id("done")))
    run(one_task.cancel_asked(bench.id("done")))
    run(reporting.progress("me", bench.id("done"), claimed[bench.id("done")], 1, b"\xc0"))

    def one(name: str) -> tuple[str, int]:
        return bench.id(name), claimed[bench.id(name)]

    run(reporting.finish(q, "me", [(*one("unique"), b"\xc0"), (*one("done"), b"\xc0")]))
    run(reporting.retry(q, "me", *one("again"), 1, FAILURE))
    run(reporting.bury(q, "me", *one("dead"), FAILURE))
    run(reporting.abort(q, "me", *one("stopped")))
    run(reporting.release(q, "me", [one("back"), one("due")]))
    run(claiming.wake(q))
    run(scheduling.promote(q))
    orphans(bench, "lost", "orphan", "orphan-too")
    bench.lapse("lost")
    run(recovering.expired(q, bench.now_ms()))
    run(recovering.recover(q, "lost", waive_lease=False, max_deliveries=5))
    run(leasing.leave(q, "me"))
    run(leasing.register(q, "me", LEASE_MS, {}, LIMITS))
    limited(bench)
    run(scheduling.promote(q))
    bench.enqueue("free")
    bench.run(enqueueing.enqueue(q, [bench.task("paced", "both")]))
    bench.run(one_task.cancel(bench.id("held")))
    assert bench.recover("limited").lost
    assert run(claiming.claim(q, "me", 50)).attempts
    leave_a_dead_id(bench)
    bench.raw.delete(bench.unpack(bench.id("dead-id")))
    bench.enqueue("dead-id")
    assert run(claiming.claim(q, "me", 1)).attempts
    run(claiming.claim(q, "me", 50))
    bench.enqueue("too-late", expires=HOUR_MS)
    bench.expire("too-late")
    run(scheduling.promote(q))
    hold_back(user, bench)


def hold_back(user: Account, bench: Bench) -> None:
    """Have suspects wait for long, so that a busy worker has to become idle for them."""
    orphans(bench, "lost-once", "shady")
    bench.recover("lost-once")
    bench.register("lost-again")
    bench.claim("lost-again", 50)
    bench.recover("lost-again")
    suspects = bench.raw.lrange(bench.keys.suspects, 0, -1)
    assert suspects
    for task_id in suspects:
        bench.raw.hset(bench.unpack(task_id.decode()), "pending_since", 1)
    for _ in range(2):
        user.run(claiming.claim(bench.queue, "me", 10))


LIMITS: Final = {"both": JobLimits(max_running=1, rate_limit=RateLimit(9, 3600, burst=9))}


def limited(bench: Bench) -> None:
    """Make a job at its limit with a held task."""
    bench.register("limited", **LIMITS)
    bench.run(
        enqueueing.enqueue(bench.queue, [bench.task(name, "both") for name in ("taken", "held")])
    )
    bench.claim("limited", 50)
    assert bench.held("both") == ["held"]


def suspected(bench: Bench, name: str) -> None:
    """Make the task that `limited` has started a suspect, which keeps its slot."""
    bench.recover("limited")
    bench.register("limited-too", **LIMITS)
    bench.claim("limited-too", 50)
    bench.recover("limited-too")
    assert bench.raw.hmget(bench.unpack(bench.id(name)), "suspect", "slot") == [b"1", b"both"]


def leave_a_dead_id(bench: Bench) -> None:
    """Leave cancelled ids in a list, the last of them `dead-id`, for others to remove.

    A cancellation removes ten of them at most, and a claim those at the head.
    """
    dead = [*(f"dead-{number}" for number in range(11)), "dead-id"]
    bench.register("first")
    bench.enqueue("first-id", *dead, "last-id")
    for name in dead:
        bench.run(one_task.cancel(bench.id(name)))
    assert bench.names(a.task_id for a in bench.claim("first", 1)) == ["first-id"]
    bench.run(one_task.cancel(bench.id("last-id")))
    left = bench.raw.lrange(bench.keys.pending, 0, -1)
    assert left == [bench.id(name).encode() for name in dead[-2:]]


def unique_firing(bench: Bench) -> None:
    """Make a firing that is due and takes its unique key when it is promoted."""
    firing = bench.task("firing", unique="firing", unique_ttl=HOUR_MS)
    fires = {firing.task_id: bench.now_ms() + HOUR_MS}
    bench.run(scheduling.schedule(bench.queue, "cron", "definition", firing, fires))
    bench.fall_due("firing")


def orphans(bench: Bench, worker: str, *names: str) -> None:
    """Have a worker without lease own tasks, the first of them with a unique key."""
    bench.register(worker)
    bench.enqueue(names[0], unique=names[0], unique_ttl=HOUR_MS)
    bench.enqueue(*names[1:])
    assert len(bench.claim(worker, 10)) >= len(names)


def look_after(user: Account, bench: Bench) -> None:
    """Do what operators and administrators have in common."""
    q, run = bench.queue, user.run
    run(inspecting.depth(q))  # before anybody else has loaded the scripts
    leave_a_dead_id(bench)
    run(scheduling.promote(q))
    bench.enqueue("too-late", expires=HOUR_MS)
    bench.expire("too-late")
    unique_firing(bench)
    run(scheduling.promote(q))
    bench.enqueue("due", delay=HOUR_MS)
    bench.fall_due("due")
    bench.raw.script_flush()  # a client that finds one missing loads them all
    run(server_facts.server_info())
    user.listen(bench.keys.doorbell)
    limited(bench)
    bench.enqueue("unseen")
    run(scheduling.promote(q))
    run(inspecting.depth(q))
    orphans(bench, "lost", "cancelled", "back")
    run(recovering.recover(q, "limited", waive_lease=True, max_deliveries=5))
    run(inspecting.workers(q))
    run(recovering.connected(["lost"]))
    run(acting.drain(q, ["lost"], stop=True))
    run(acting.drain(q, ["lost"], stop=False))
    run(recovering.expired(q, bench.now_ms()))
    bench.run(one_task.await_result(bench.id("cancelled"), keys.reply_channel("somebody")))
    bench.run(one_task.cancel(bench.id("cancelled")))
    run(recovering.recover(q, "lost", waive_lease=True, max_deliveries=5))


def operate(user: Account, bench: Bench) -> None:
    look_after(user, bench)
    orphans(bench, "lost-too", "dead-too")
    user.run(recovering.recover(bench.queue, "lost-too", waive_lease=True, max_deliveries=1))
    for number in range(20):  # suspects run alone, one after the other
        bench.register(f"alone-{number}")
        if not bench.claim(f"alone-{number}", idle=True):
            break
        worker = f"alone-{number}"
        user.run(recovering.recover(bench.queue, worker, waive_lease=True, max_deliveries=1))
    assert bench.raw.hget(bench.unpack(bench.id("dead-too")), "state") == b"failed"


def move_and_revoke(user: Account, bench: Bench) -> None:
    """Do the steps of a move, and what two calls of one act do."""
    q, run, note = bench.queue, user.run, acting.new_note("ada", "move", "what")
    task_id, why = bench.id("to-move"), Failure("Moved", "moved")
    bench.enqueue("to-move", ttl=HOUR_MS)  # so it is not packed, and its size is read
    assert run(moving.payload_size(task_id)) > 0
    task = run(moving.movable(task_id))
    assert run(moving.due_time(task_id)) is None
    fields = task.fields | {"unique": b"moved", "unique_ttl": b"60000", "expires_at": b"%d" % 2**50}
    for _ in range(2):
        run(moving.receive(q, {bench.id("moved"): fields}, note=note))
        run(acting.revoke(q, [bench.id("moved")], why, asks=True, note=note))
    run(acting.revoke(q, [task_id], why, asks=True, note=note))
    bench.enqueue("culprit")
    bench.raw.rpop(bench.keys.pending)
    bench.raw.rpush(bench.keys.suspects, bench.id("culprit"))
    bench.raw.hset(bench.unpack(bench.id("culprit")), "suspect", 1)
    run(acting.revoke(q, [bench.id("culprit")], why, asks=False, note=note))


def administrate(user: Account, bench: Bench) -> None:
    q, run = bench.queue, user.run
    operate(user, bench)
    run(acting.pause(q, stop=True))
    run(acting.pause(q, stop=False))
    run(inspecting.limits(q))
    for of_queue in (checkup.protocol_version, checkup.paused_at, checkup.paused_jobs):
        run(of_queue(q))
    run(checkup.suspects(q))
    run(checkup.shelves(q))
    run(checkup.dead_since(q, 0))
    run(checkup.about())
    run(checkup.ping())
    note = acting.new_note("ada", "act", "what")
    for stop in (True, False):
        run(acting.pause(q, stop=stop, note=note))
        run(acting.pause_job(q, "job", stop=stop, note=note))
        run(scheduling.pause_cron(q, "cron", stop=stop, note=note))
    run(scheduling.run_cron(q, "cron", note=note))
    run(scheduling.schedules(q))
    run(acting.audit(q, 10))
    move_and_revoke(user, bench)
    run(registry.queues_seen())
    run(registry.jobs_declared(q))
    run(registry.jobs_enqueued(q))
    run(inspecting.numbers_of_minute(q, 1))
    run(inspecting.numbers_of_hour(q, 1))
    run(inspecting.rolled(q))
    run(server_facts.server_time())
    run(listing.dead_letters(q, 0, 10))
    run(one_task.task_info(bench.id("dead-too")))
    run(listing.parts(q, Place.HELD))
    gone = listing.Stop("1", bench.id("dead-too"))  # known, and not in this list: it is sought
    run(listing.page(q, Place.PENDING, "pending", newest_first=False, stop=gone))
    died_ms = bench.raw.zscore(bench.keys.dead, bench.id("dead-too"))
    stop = listing.Stop(f"{died_ms:.0f}", bench.id("dead-too"))
    run(listing.page(q, Place.DEAD, "dead", stop=stop))
    run(record.record(bench.id("dead-too")))
    run(acting.replay(q, [bench.id("dead-too")]))
    run(acting.discard(q, [bench.id("nothing")]))


def bridge_both_ways(user: Account, bench: Bench) -> None:
    """Do what a bridge does: work, adopt requests of 0.2, and forward tasks to it."""
    q, run = bench.queue, user.run
    bench.raw.delete(bench.keys.meta)
    k = BridgeKeys(q, q)
    assert run(bridge.hold(k, "to new", HOUR_MS)) == run(bridge.hold(k, "to new", HOUR_MS)) == "ok"
    bench.raw.rpush(q, b"request", b"no request")
    assert run(bridge.block_for_requests(k, 0.1))
    good = Adoptee(b"request", bench.id("adopted"), bench.task("adopted").payload, "job")
    run(bridge.adopt(k, q, [good, Adoptee(b"no request")], HOUR_MS))
    assert run(bridge.peek(k, 9)) == []
    (task_id,) = run(bridge.owed(k, 9))
    user.listen(keys.reply_channel("me"))
    run(one_task.await_result(task_id, keys.reply_channel("me")))
    run(one_task.task_info(task_id))
    assert run(bridge.mirror(k, task_id, f"{q}-1", b"s", HOUR_MS))
    assert run(bridge.repay(k, task_id, f"{q}-1", b"s", b"r", HOUR_MS))
    assert run(bridge.deliveries(k, "name")) == 0
    assert run(bridge.forward(k, "name", 1, f"{q}-2", b"again", b"s", HOUR_MS))
    assert run(bridge.old_status(f"{q}-2")) == b"s"
    assert run(bridge.old_result(f"{q}-1")) == b"r"
    assert run(bridge.is_waiting(k, b"again"))
    assert run(bridge.withdraw(k, "name", f"{q}-2", b"again"))
    run(bridge.tidy(k, "name", f"{q}-1", 0))
    bench.run(one_task.cancel(task_id))
    work(user, bench)


SCENARIOS: Final = {
    Role.PRODUCER: produce,
    Role.WORKER: work,
    Role.OPERATOR: operate,
    Role.ADMIN: administrate,
    Role.BRIDGE: bridge_both_ways,
}


def act(role: Role, words: list[str], bench: Bench, address: str) -> None:
    """Do all that the role does, with these rules, on a fresh queue."""
    user = Account(bench, address, words)
    try:
        bench.raw.script_flush()
        user.select()
        SCENARIOS[role](user, bench)
    finally:
        user.close()
        bench.raw.execute_command("ACL", "DELUSER", user.name)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer().running() as server:
        yield server


@pytest.fixture
def new_bench(server: RedisServer) -> Iterator[Callable[[], Bench]]:
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench(server, f"q-{secrets.token_hex(4)}"))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_a_role_may_do_all_it_needs(
    server: RedisServer, new_bench: Callable[[], Bench], role: Role
) -> None:
    bench = new_bench()
    act(role, rules(role, [bench.queue]), bench, server.address)
    act(role, rules(role), new_bench(), server.address)


ELSEWHERE: Final = {"+role", "+cluster|slots", "+asking", "+ping"}
"""Commands needed with Sentinels, with a cluster, and after five seconds of silence."""


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_a_role_has_nothing_it_does_not_need(
    server: RedisServer, new_bench: Callable[[], Bench], role: Role
) -> None:
    superfluous = []
    for rule in rules(role, ["q"]):
        if rule in ELSEWHERE or rule.startswith(("reset", "-")):
            continue
        bench = new_bench()
        fewer = rules(role, [bench.queue])
        own = f"~{bench.queue}" if rule == "~q" else rule.replace("{q}", f"{{{bench.queue}}}")
        fewer.remove(own)
        try:
            act(role, fewer, bench, server.address)
        except RedisAuthFailed:
            continue
        superfluous.append(rule)
    assert superfluous == []


def test_every_script_belongs_to_a_role() -> None:
    every = {*scripts.names(), *scripts.names(scripts.BRIDGE)}
    assert set().union(*roles.SCRIPTS.values()) == every


# --- what a role may not do ---


def refused(user: Account, call: Call[Any]) -> str:
    with pytest.raises(RedisAuthFailed) as caught:
        user.run(call)
    return str(caught.value)


def test_a_producer_can_not_claim_and_sees_its_own_queue_only(
    server: RedisServer, new_bench: Callable[[], Bench]
) -> None:
    bench, other = new_bench(), new_bench()
    bench.enqueue("a")
    bench.register("w")
    other.enqueue("secret")
    user = Account(bench, server.address, rules(Role.PRODUCER, [bench.queue]))
    before = bench.snapshot(), other.snapshot()
    for call in (
        claiming.claim(bench.queue, "w", 1),
        inspecting.depth(other.queue),
        enqueueing.enqueue(other.queue, [other.task("b")]),
        one_task.task_info(other.id("secret")),
        one_task.await_result(other.id("secret"), keys.reply_channel("me")),
        one_task.cancel(other.id("secret")),
    ):
        refused(user, call)
    with pytest.raises(RedisAuthFailed):
        user.listen(other.keys.doorbell)
    assert (bench.snapshot(), other.snapshot()) == before
    user.close()


@pytest.mark.parametrize("role", [Role.PRODUCER, Role.WORKER, Role.OPERATOR])
def test_nobody_but_an_administrator_pauses_or_replays(
    server: RedisServer, new_bench: Callable[[], Bench], role: Role
) -> None:
    bench = new_bench()
    user = Account(bench, server.address, rules(role))
    refused(user, acting.pause(bench.queue, stop=True))
    refused(user, listing.dead_letters(bench.queue, 0, 1))
    user.close()


# --- clear words ---


def test_what_is_missing_is_said(server: RedisServer, new_bench: Callable[[], Bench]) -> None:
    bench = new_bench()
    bench.enqueue("a")
    bench.register("w")
    user = Account(bench, server.address, rules(Role.PRODUCER))
    text = refused(user, claiming.claim(bench.queue, "w", 1))
    assert f"Redis refused SISMEMBER in `claim` on {bench.keys.pending}" in text
    assert "docs/redis.md lists what each role needs" in text
    other = Account(bench, server.address, rules(Role.PRODUCER, ["elsewhere"]))
    assert f"in `depth` on {bench.keys.pending}" in refused(other, inspecting.depth(bench.queue))
    user.close()
    other.close()


async def test_a_forbidden_channel_is_no_reason_to_wait_for_ever(
    server: RedisServer, new_bench: Callable[[], Bench]
) -> None:
    bench = new_bench()
    words = [word for word in rules(Role.PRODUCER) if not word.startswith("&")]
    user = Account(bench, server.address, words)
    bench.enqueue("a")
    async with Client(user.settings) as client, asyncio.timeout(30):
        with pytest.raises(RedisAuthFailed, match="channel"):
            await client.wait_for_result(bench.id("a"))
        bench.raw.execute_command("ACL", "SETUSER", user.name, "&idtq:*")
        subscriber = Subscriber(user.settings, client_name="tests", on_message=lambda *_: None)
        subscriber.start()
        await subscriber.add(keys.reply_channel("me"))
        await subscriber.close()
    user.close()


async def test_a_worker_that_lacks_something_says_so_at_the_start(
    server: RedisServer, new_bench: Callable[[], Bench]
) -> None:
    bench = new_bench()
    user = Account(bench, server.address, rules(Role.PRODUCER))
    lacks = r"lacks .*LPUSH, .*: `identtqueue acl worker --queue .*` prints what a worker needs"
    with server.client() as raw:
        if raw.info("server")["redis_version"].startswith("6."):  # can't be asked beforehand
            lacks = r"Redis refused HKEYS in `register` on .*docs/redis.md"
    with pytest.raises(RedisAuthFailed, match=lacks):
        await Worker({"job": print}, user.settings, bench.queue).serve()
    user.close()


# --- the whole of it, by its roles ---


async def test_producer_worker_and_administrator_together(
    server: RedisServer, new_bench: Callable[[], Bench]
) -> None:
    bench = new_bench()
    q = bench.queue
    producer, worker, admin = (
        Account(bench, server.address, rules(role, [q]))
        for role in (Role.PRODUCER, Role.WORKER, Role.ADMIN)
    )
    tries = []

    async def job(ctx: Any, how: str) -> str:
        tries.append(how)
        if how == "fails" or (how == "again" and tries.count("again") == 1):
            raise ValueError(how)
        return how

    served = Worker({"job": job}, worker.settings, q, max_retries=0)
    async with (
        serving(served),
        Client(producer.settings) as client,
        Admin(admin.settings) as administrator,
    ):
        done = await client.enqueue_job(q, "job", "done")
        again = await client.enqueue_job(q, "job", "again", task_options=TaskOptions(max_retries=1))
        failed = await client.enqueue_job(q, "job", "fails")
        results = await client.wait_many([done, again, failed], 30)
        assert [result.state.value for result in results] == ["succeeded", "succeeded", "failed"]
        assert await administrator.replay([failed]) == [failed]
        assert (await administrator.workers(q))[0].connected
    for user in (producer, worker, admin):
        user.close()


# --- the documentation ---


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_the_documentation_shows_the_rules(role: Role) -> None:
    text = (Path(__file__).parents[2] / "docs/redis.md").read_text("utf-8")
    shown = re.findall(rf"^ACL SETUSER (?:\S+-)?{role.value} on >\S+ (.*)$", text, re.MULTILINE)
    queues = ["mrz"] if role is not Role.OPERATOR and role is not Role.ADMIN else []
    assert shown == [" ".join(rules(role, queues))]
    printed = CliRunner().invoke(main, ["acl", role.value, *(f"--queue={q}" for q in queues)])
    assert printed.output.strip() == shown[0]
