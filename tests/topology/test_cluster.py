"""A Redis Cluster: every call finds its node, even while slots move and nodes die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from identtqueue import Client, Context, SyncClient, Worker
from identtqueue.admin import Act, Admin, Place
from identtqueue.errors import RedisTopologyMismatch, RedisUnavailable
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import enqueueing, inspecting, moving, recovering
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.settings import RedisSettings
from protocol.machine import QueueMachine, machine_settings
from testing.accounts import balance
from testing.ledger import Ledger
from testing.processes import WorkerProcess
from testing.redis_cluster import OneNodeCluster, RedisCluster
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import LONG_SECONDS, eventually
from topology.conftest import first_error

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Start three primaries. Each test uses its own queues."""
    cluster = RedisCluster()
    try:
        yield cluster.start()
    finally:
        cluster.destroy()


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., RedisCluster]]:
    made: list[RedisCluster] = []

    def make(**settings: object) -> RedisCluster:
        made.append(RedisCluster(**settings))
        return made[-1].start()

    yield make
    for cluster in made:
        cluster.destroy()


def a_queue_on_each(cluster: RedisCluster, prefix: str) -> list[str]:
    """Make queues on three nodes, and so in three slots."""
    return [
        cluster.queue_on(node, f"{prefix}-{name}")
        for name, node in zip("abc", cluster.nodes[:3], strict=True)
    ]


async def double(_ctx: object, number: int) -> int:
    return 2 * number


# --- the protocol ---


@pytest.mark.timeout(1800)
def test_every_script_in_random_order_keeps_to_its_slot() -> None:
    """Run the machine of `tests/protocol` on a server that checks slots, with fewer histories."""
    node = OneNodeCluster()

    class Machine(QueueMachine):
        server = node

    try:
        node.start()
        run_state_machine_as_test(Machine, settings=machine_settings(share=0.1))
    finally:
        node.destroy()


async def test_asking_all_nodes_again_and_again_opens_no_connection(
    cluster: RedisCluster,
) -> None:
    """An operator does so in each round, and it has a budget of connections."""

    def opened() -> int:
        return sum(node.info("stats")["total_connections_received"] for node in watched)

    async with contextlib.AsyncExitStack() as exits:
        watched = [exits.enter_context(node.client()) for node in cluster.nodes]
        admin = await exits.enter_async_context(Admin(cluster.address))
        await admin.server()
        opened()  # now the watchers are connected too
        before = opened()
        for _ in range(5):
            await admin.server()
        assert opened() == before


async def test_accounts_with_the_rights_of_their_roles(
    new_cluster: Callable[..., RedisCluster], queue: str
) -> None:
    cluster = new_cluster()
    queues = a_queue_on_each(cluster, queue)
    for node in cluster.nodes:
        with node.client() as raw:
            for role in Role:
                words = ("on", ">sesame", *rules(role, queues))
                raw.execute_command("ACL", "SETUSER", role.value, *words)
            raw.execute_command("ACL", "SETUSER", "default", "off")

    def account(role: Role) -> RedisSettings:
        return RedisSettings(address=cluster.address, username=role.value, password="sesame")

    worker = Worker({"double": double}, account(Role.WORKER), queue_names=queues)
    async with (
        serving(worker),
        Client(account(Role.PRODUCER)) as client,
        Admin(account(Role.ADMIN)) as admin,
    ):
        ids = [await client.enqueue_job(name, "double", 4) for name in queues]
        assert [r.value for r in await client.wait_many(ids, 60)] == [8, 8, 8]
        assert (await admin.workers(queues[0]))[0].connected
        rung: set[str] = set()
        async with Admin(account(Role.OPERATOR)) as operator:
            doorbell = operator.doorbell(rung.add)
            await doorbell.add(*queues)
            await client.enqueue_job(queues[2], "double", 4)
            await eventually(lambda: queues[2] in rung, "it has rung")
            await operator.ring(queues[0])
            await eventually(lambda: queues[0] in rung, "it was rung")
            await doorbell.close()


# --- everything works ---


async def test_one_worker_for_queues_of_three_nodes(cluster: RedisCluster, queue: str) -> None:
    queues = a_queue_on_each(cluster, queue)
    worker = Worker({"double": double}, cluster.address, queue_names=queues, concurrency=4)
    async with (
        serving(worker),
        Client(cluster.address) as client,
        Admin(cluster.address) as admin,
    ):
        ids = [await client.enqueue_job(queues[i % 3], "double", i) for i in range(60)]
        results = await client.wait_many(ids, 60)
        assert [result.value for result in results] == [2 * i for i in range(60)]
        depths = await admin.depths(queues)
        assert [depth.counters["succeeded"] for depth in depths.values()] == [20, 20, 20]
        for name in queues:
            (row,) = await admin.workers(name)
            assert row.connected, "whichever node its control connection is at"
        assert (await admin.server()).uptime_seconds >= 0


async def test_an_idle_worker_hears_each_of_its_queues(cluster: RedisCluster, queue: str) -> None:
    """It wakes long before its block ends, although one BLPOP can only block on one slot."""
    queues = a_queue_on_each(cluster, queue)
    worker = Worker({"double": double}, cluster.address, queue_names=queues, concurrency=1)
    async with serving(worker), Client(cluster.address) as client:
        for i in range(30):
            task_id = await client.enqueue_job(queues[i % 3], "double", i)
            assert await client.wait_for_result(task_id, 60) == 2 * i


async def test_the_blocking_client(cluster: RedisCluster, queue: str) -> None:
    queues = a_queue_on_each(cluster, queue)
    worker = Worker({"double": double}, cluster.address, queue_names=queues)

    def work() -> list[int]:
        with SyncClient(cluster.address) as client:
            ids = [client.enqueue_job(name, "double", 3) for name in queues]
            assert client.queue_length(queues[0]) >= 0
            return [client.wait_for_result(task_id, 60) for task_id in ids]

    async with serving(worker):
        assert await asyncio.to_thread(work) == [6, 6, 6]


async def test_progress_is_read_where_the_task_is(cluster: RedisCluster, queue: str) -> None:
    async def count(ctx: Context, to: int) -> None:
        for n in range(to):
            await ctx.report_progress(n)

    queues = a_queue_on_each(cluster, queue)

    def read(ids: list[str]) -> set[Any]:
        with SyncClient(cluster.address, retry_for_seconds=0) as client:
            return {client.get_progress(task_id) for task_id in ids}

    async with (
        serving(Worker({"count": count}, cluster.address, queue_names=queues)),
        Client(cluster.address) as client,
    ):
        ids = [await client.enqueue_job(name, "count", 5) for name in queues]
        for task_id in ids:
            assert [value async for value in client.watch(task_id, 60)][-1] == 4
        often = (
            20 * ids
        )  # a client that asks any node, and again where that sends it, fails at times
        async with Client(cluster.address, retry_for_seconds=0) as impatient:
            assert {await impatient.get_progress(task_id) for task_id in often} == {4}
        assert await asyncio.to_thread(read, often) == {4}


async def test_the_doorbell_of_every_queue_is_heard(cluster: RedisCluster, queue: str) -> None:
    queues, rung = a_queue_on_each(cluster, queue), set[str]()
    async with Admin(cluster.address) as admin, Client(cluster.address) as client:
        doorbell = admin.doorbell(rung.add)
        await doorbell.add(*queues)
        for name in queues:
            await client.enqueue_job(name, "double", 1)
        await eventually(lambda: rung == set(queues), "all have rung")
        rung.clear()
        await asyncio.gather(*map(admin.ring, queues))
        await eventually(lambda: rung == set(queues), "all were rung")
        await doorbell.close()


async def test_tasks_are_moved_to_a_queue_on_another_node(
    cluster: RedisCluster, queue: str
) -> None:
    first, second, _ = a_queue_on_each(cluster, queue)
    async with Admin(cluster.address) as admin, Client(cluster.address) as client:
        ids = [await client.enqueue_job(first, "double", n) for n in range(150)]
        steps = admin.act(Act.MOVE, first, Place.PENDING, to_queue=second)
        assert [step.changed async for step in steps] == [50, 100, 150]
        for name in (first, second):
            (entry,) = await admin.audit(name)
            assert (entry.act, entry.changed) == ("move", 150)
        async with serving(Worker({"double": double}, cluster.address, second)):
            moved = [f"{second}:{task_id.partition(':')[2]}" for task_id in ids]
            results = await client.wait_many(moved, 60)
    assert sorted(result.value for result in results) == [2 * n for n in range(150)]


# --- a queue moves to another node ---


@pytest.mark.parametrize("some_keys_first", [False, True], ids=["at once", "key by key"])
async def test_a_queue_that_moves(
    cluster: RedisCluster, queue: str, how: str, some_keys_first: bool
) -> None:
    """While its keys are on two nodes it stands still. Then it continues on the other node."""
    settings = RedisSettings(address=cluster.address)
    name = cluster.queue_on(cluster.nodes[0], queue)
    target = cluster.nodes[1]
    task = NewTask(f"{name}:late", b"", "job")

    redis = async_redis(settings, client_name="tests", retry_for_seconds=60)
    blocking = blocking_redis(settings, client_name="tests", retry_for_seconds=60)
    first = [NewTask(f"{name}:{i}", b"12345", "job") for i in range(5)]
    await redis.run(enqueueing.enqueue(name, first))
    assert blocking.run(inspecting.depth(name)).queued == 5

    source = cluster.begin_to_move(name, target)
    if some_keys_first:
        cluster.move_keys(name, source, target, 2)
        impatient = blocking_redis(settings, client_name="tests", retry_for_seconds=0)
        with pytest.raises(RedisUnavailable):
            impatient.run(enqueueing.enqueue(name, [task]))
        impatient.close()
        for i in range(5):  # a plain command with a single key finds it wherever it is
            assert await redis.run(moving.payload_size(f"{name}:{i}")) == 5
            assert blocking.run(moving.payload_size(f"{name}:{i}")) == 5
    if how == "asyncio":
        late = asyncio.ensure_future(redis.run(enqueueing.enqueue(name, [task])))
    else:
        late = asyncio.ensure_future(
            asyncio.to_thread(blocking.run, enqueueing.enqueue(name, [task]))
        )
    while await asyncio.to_thread(cluster.move_keys, name, source, target, 3):
        pass
    cluster.end_move(name, target)
    await late
    assert cluster.primary_of(name) is target
    assert (await redis.run(inspecting.depth(name))).queued == 6
    assert blocking.run(inspecting.depth(name)).queued == 6
    await redis.close()
    blocking.close()


async def test_a_queue_moves_while_workers_work(
    cluster: RedisCluster, queue: str, tmp_path: Path
) -> None:
    """It moves there and back. No task is lost, and the other queues are not affected."""
    moving = cluster.queue_on(cluster.nodes[0], f"{queue}-moving")
    other = cluster.queue_on(cluster.nodes[2], f"{queue}-other")
    ledger = Ledger(tmp_path / "ledger")
    workers = [
        WorkerProcess(cluster.address, [moving, other], ledger, concurrency=4) for _ in range(2)
    ]
    ids: dict[str, list[str]] = {moving: [], other: []}
    enough = asyncio.Event()

    async def produce(client: Client, name: str) -> None:
        while not enough.is_set():
            ids[name].append(await client.enqueue_job(name, "journal"))

    try:
        for worker in workers:
            await worker.started()
        async with Client(cluster.address, retry_for_seconds=60) as client:
            producers = [asyncio.create_task(produce(client, name)) for name in ids]
            for target in (cluster.nodes[1], cluster.nodes[0]):
                before = len(ids[moving])
                await eventually(lambda n=before: len(ids[moving]) > n + 50, "it flows")
                source = cluster.begin_to_move(moving, target)
                while await asyncio.to_thread(cluster.move_keys, moving, source, target, 20):
                    pass
                cluster.end_move(moving, target)
            before = len(ids[moving])
            await eventually(lambda: len(ids[moving]) > before + 50, "it flows again")
            enough.set()
            await asyncio.gather(*producers)
            async with Admin(cluster.address, retry_for_seconds=60) as admin:
                for name, enqueued in ids.items():
                    await balance(client, admin, name, enqueued, seconds=100)
        for worker in workers:
            await worker.terminate()
    finally:
        for worker in workers:
            worker.destroy()


# --- a node dies ---


async def test_a_primary_is_killed_under_load(
    new_cluster: Callable[..., RedisCluster], queue: str, tmp_path: Path
) -> None:
    """Its replica takes over, workers and clients find it, and replicated tasks are there."""
    cluster = new_cluster(replicas=1)
    victim = cluster.nodes[0]
    name = cluster.queue_on(victim, f"{queue}-hit")
    other = cluster.queue_on(cluster.nodes[1], f"{queue}-other")
    ledger, gate = Ledger(tmp_path / "ledger"), tmp_path / "gate"
    worker = WorkerProcess(cluster.address, [name, other], ledger, concurrency=8)
    try:
        await worker.started()
        async with Client(cluster.address, retry_for_seconds=60) as client:
            running = [await client.enqueue_job(name, "journal", str(gate)) for _ in range(4)]
            await ledger.wait_for(lambda led: len(led.starts()) == 4, "four run")
            queued = [await client.enqueue_job(name, "journal") for _ in range(20)]
            assert victim.replicated(10_000, key=f"{{{name}}}:written-last") == 1, "all of it"
            victim.kill()
            elsewhere = [await client.enqueue_job(other, "journal") for _ in range(20)]
            late = [await client.enqueue_job(name, "journal") for _ in range(10)]
            gate.touch()
            async with Admin(cluster.address, retry_for_seconds=60) as admin:
                await balance(client, admin, name, [*running, *queued, *late], seconds=100)
                await balance(client, admin, other, elsewhere, seconds=100)
        await worker.terminate()
    finally:
        worker.destroy()


async def test_a_call_to_a_primary_that_hangs_goes_to_its_replica(
    new_cluster: Callable[..., RedisCluster], queue: str
) -> None:
    """It does so as soon as the replica has taken over, long before the reply times out."""
    cluster = new_cluster(replicas=1)
    victim, source, target = cluster.nodes[:3]
    name, moving = cluster.queue_on(victim, queue), cluster.queue_on(source, f"{queue}-moving")
    settings = RedisSettings(
        address=cluster.address, connect_timeout_seconds=1, response_timeout_seconds=600
    )
    redis = async_redis(settings, client_name="tests", retry_for_seconds=600)
    assert (await redis.run(inspecting.depth(name))).queued == 0
    tasks = [NewTask(f"{moving}:{i}", b"", "job") for i in range(5)]
    await redis.run(enqueueing.enqueue(moving, tasks))
    cluster.begin_to_move(moving, target)
    cluster.move_keys(moving, source, target, 2)

    victim.pause()
    sent = asyncio.ensure_future(
        redis.run(enqueueing.enqueue(name, [NewTask(f"{name}:1", b"", "")]))
    )
    # This one can't be answered yet, so the client looks at the slots again and again.
    waits = asyncio.ensure_future(redis.run(inspecting.depth(moving)))
    (receipt,) = await asyncio.wait_for(sent, LONG_SECONDS)
    assert receipt.created
    await redis.close()
    with pytest.raises(RedisUnavailable, match="the client was closed"):
        await waits


# --- nobody is there ---


async def test_who_starts_while_the_cluster_is_away_waits_for_it(queue: str) -> None:
    node = OneNodeCluster().start()
    try:
        node.kill()
        client = Client(node.address, retry_for_seconds=600)
        connecting = asyncio.ensure_future(client.connect())
        async with serving(Worker({"double": double}, node.address, queue)):
            with pytest.raises(RedisUnavailable):
                await Client(node.address, retry_for_seconds=0.1).connect()
            RedisServer.start(node)
            await connecting
            task_id = await client.enqueue_job(queue, "double", 4)
            assert await client.wait_for_result(task_id, 60) == 8
        await client.close()
    finally:
        node.destroy()


async def test_what_is_asked_of_all_nodes_waits_for_a_primary_that_is_away(
    new_cluster: Callable[..., RedisCluster],
) -> None:
    cluster = new_cluster()
    victim = cluster.nodes[2]
    settings = RedisSettings(address=cluster.address)
    redis = async_redis(settings, client_name="tests", retry_for_seconds=600)
    assert await redis.run(recovering.connected(["w"])) == [False]
    victim.kill()
    with pytest.raises(RedisUnavailable):
        await redis.run(recovering.connected(["w"]), retry_for_seconds=0.1)
    waits = asyncio.ensure_future(redis.run(recovering.connected(["w"])))
    closed = async_redis(settings, client_name="tests", retry_for_seconds=600)
    gone = asyncio.ensure_future(closed.run(recovering.connected(["w"])))
    await asyncio.sleep(0)
    await closed.close()
    with pytest.raises(RedisUnavailable, match="the client was closed"):
        await gone
    victim.start()
    assert await waits == [False]
    await redis.close()


# --- what can be wrong ---


async def test_a_node_where_a_server_was_expected(cluster: RedisCluster, how: str) -> None:
    error = await first_error(RedisSettings(address=cluster.nodes[0].address), how)
    assert type(error) is RedisTopologyMismatch, error
    assert "is a node of a Redis Cluster: use redis+cluster://" in str(error)


async def test_a_server_where_a_cluster_was_expected(redis_server: RedisServer, how: str) -> None:
    address = f"redis+cluster://127.0.0.1:{redis_server.port}"
    error = await first_error(RedisSettings(address=address), how)
    assert type(error) is RedisTopologyMismatch, error
    assert "is no node of a Redis Cluster" in str(error)


async def test_no_node_answers(how: str) -> None:
    error = await first_error(RedisSettings(address="redis+cluster://127.0.0.1:1,127.0.0.1:2"), how)
    assert type(error) is RedisUnavailable, error


async def test_a_cluster_that_is_not_whole(
    new_redis_server: Callable[..., RedisServer], how: str
) -> None:
    """A node without slots, as before `redis-cli --cluster create`."""
    node = new_redis_server(options=("--cluster-enabled", "yes"))
    error = await first_error(RedisSettings(address=f"redis+cluster://127.0.0.1:{node.port}"), how)
    assert type(error) is RedisUnavailable, error
    assert "knows of no slots of the cluster" in str(error)
