"""Old clients, new workers: requests of 0.2 become tasks, and the results go back."""

from __future__ import annotations

import asyncio

import pytest
import redis

from identtqueue import Client, Context, InvalidInput, State
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Adopted
from identtqueue.protocol.calls import bridge
from identtqueue.protocol.calls.bridge import Adoptee
from identtqueue.task import Task
from identtqueue.transport.connection import AsyncRedis
from identtqueue.v02.bridge import Bridge, WrongDirection
from identtqueue.v02.names import BridgedQueue
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import eventually
from v02.conftest import StartBridge, bridging
from v02.old import (
    ENQUEUED,
    EXCEPTION,
    FINISHED,
    PROCESSING,
    SUCCESS,
    WORKER_TIMEOUT,
    OldClient,
    OldWorker,
    pack,
)


async def echo(_ctx: Context, *args: object, **kwargs: object) -> list[object]:
    return [args, kwargs]


async def test_a_result_comes_back(
    start_bridge: StartBridge, serve: Serve, old_client: OldClient, queue: str
) -> None:
    await start_bridge()
    await serve({"echo": echo})
    task_id = await old_client.push(queue, "echo", 1, "zwei", b"3", path=None, n=[1.5])
    assert await old_client.result(task_id) == {
        "type": SUCCESS,
        "message": [[1, "zwei", b"3"], {"path": None, "n": [1.5]}],
    }
    assert await old_client.status(task_id) == {"status": FINISHED, "data": {}}
    assert 0 < await old_client.redis.ttl(f"{task_id}-status") <= 86_400


async def test_a_result_that_nobody_fetches_expires(
    start_bridge: StartBridge, serve: Serve, old_client: OldClient, queue: str
) -> None:
    await start_bridge(ttl_seconds=600)
    await serve({"echo": echo})
    task_id = await old_client.push(queue, "echo")
    key = f"{task_id}-result"
    await eventually(lambda: old_client.redis.exists(key), "the result is there")
    assert 0 < await old_client.redis.ttl(key) <= 600


async def test_failures_come_back(
    start_bridge: StartBridge, serve: Serve, old_client: OldClient, queue: str
) -> None:
    async def fail(_ctx: Context) -> None:
        raise ValueError("too dark")

    async def hang(_ctx: Context) -> None:
        await asyncio.Event().wait()

    await start_bridge()
    await serve({"fail": fail, "hang": hang}, timeout_seconds=0.1, unrunnable_seconds=0)
    failing = await old_client.push(queue, "fail")
    assert await old_client.result(failing) == {"type": EXCEPTION, "message": "too dark"}
    hanging = await old_client.push(queue, "hang")
    assert (await old_client.result(hanging))["type"] == WORKER_TIMEOUT
    unknown = await old_client.push(queue, "unknown")
    answer = await old_client.result(unknown)
    assert answer["type"] == EXCEPTION
    assert "no job named 'unknown'" in answer["message"]


async def test_the_status_follows_the_task(
    start_bridge: StartBridge, serve: Serve, old_client: OldClient, queue: str
) -> None:
    may_end = asyncio.Event()

    async def read(ctx: Context) -> str:
        await ctx.report_progress({"page": 3})
        await may_end.wait()
        return "done"

    task_id = await old_client.push(queue, "read")
    await start_bridge()
    await eventually(lambda: _is_empty(old_client, queue), "the request was adopted")
    assert await old_client.status(task_id) == {"status": ENQUEUED, "data": {}}
    await serve({"read": read})
    running = {"status": PROCESSING, "data": {"page": 3}}
    await eventually(lambda: _has_status(old_client, task_id, running), "its progress is shown")
    may_end.set()
    assert (await old_client.result(task_id))["message"] == "done"
    assert await old_client.status(task_id) == {"status": FINISHED, "data": {}}


async def _is_empty(client: OldClient, queue: str) -> bool:
    return not await client.redis.exists(queue)


async def _has_status(client: OldClient, task_id: str, status: object) -> bool:
    return await client.status(task_id) == status


async def test_requests_keep_their_order_and_are_tasks_like_others(
    start_bridge: StartBridge, old_client: OldClient, client: Client, queue: str
) -> None:
    ids = [await old_client.push(queue, "echo", n) for n in range(250)]
    await start_bridge()
    await eventually(lambda: _is_empty(old_client, queue), "all were adopted")
    pending = await old_client.redis.lrange(f"idtq:{{{queue}}}:pending", 0, -1)
    assert [task_id.decode() for task_id in pending] == [f"{queue}:{i}" for i in ids]
    assert await client.get_status(f"{queue}:{ids[7]}") is State.PENDING
    assert await client.queue_length(queue) == 250


async def test_what_can_not_be_read_is_put_aside(
    start_bridge: StartBridge,
    serve: Serve,
    old_client: OldClient,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nameless = pack({"task_id": f"{queue}-1", "args": []})
    bad = [b"no msgpack", nameless, pack({"task_id": "a\nb", "function_name": "echo"})]
    await old_client.redis.rpush(queue, *bad)
    task_id = await old_client.push(queue, "echo", "behind them")
    await start_bridge()
    await serve({"echo": echo})
    assert (await old_client.result(task_id))["message"] == [["behind them"], {}]
    refused = f"idtq:{{{queue}}}:v02:refused"
    assert await old_client.redis.lrange(refused, 0, -1) == bad
    assert caplog.text.count(f"put aside in the list {refused}") == len(bad)
    answer = await old_client.result(f"{queue}-1")
    assert answer["type"] == EXCEPTION
    assert "could not be read" in answer["message"]


async def test_a_queue_may_have_another_name(
    start_bridge: StartBridge, serve: Serve, old_client: OldClient, queue: str
) -> None:
    await start_bridge(f"Old Jobs {queue}={queue}")
    await serve({"echo": echo})
    task_id = await old_client.push(f"Old Jobs {queue}", "echo")
    assert (await old_client.result(task_id))["type"] == SUCCESS


async def test_bridges_and_old_workers_share_a_queue(
    start_bridge: StartBridge,
    serve: Serve,
    old_client: OldClient,
    old_worker: OldWorker,
    queue: str,
) -> None:
    """Each request is taken by one of them, and each client gets one result."""
    ran: list[int] = []

    async def note(_ctx: Context, n: int) -> list[object]:
        ran.append(n)
        return ["note", [n], {}]

    for _ in range(3):
        await start_bridge()
    await serve({"note": note})
    old = asyncio.create_task(old_worker.serve())
    ids = [await old_client.push(queue, "note", n) for n in range(300)]
    for n, task_id in enumerate(ids):
        answer = await old_client.result(task_id)
        assert answer == {"type": SUCCESS, "message": ["note", [n], {}]}
        assert not await old_client.redis.exists(f"{task_id}-result")
    old.cancel()
    await asyncio.wait([old])
    assert len(set(ran)) == len(ran), "each ran once"


async def test_the_next_bridge_gives_back_what_the_last_one_owed(
    redis_server: RedisServer, serve: Serve, old_client: OldClient, queue: str
) -> None:
    task_id = await old_client.push(queue, "echo")
    async with bridging(Bridge([queue], redis_server.address)):
        await eventually(lambda: _is_empty(old_client, queue), "the request was adopted")
    await serve({"echo": echo})
    owed = f"idtq:{{{queue}}}:v02:owed"
    assert await old_client.redis.zcard(owed) == 1
    async with bridging(Bridge([queue], redis_server.address)):
        assert (await old_client.result(task_id))["type"] == SUCCESS
    assert not await old_client.redis.exists(owed)


async def test_a_result_that_is_gone_is_an_error_for_its_client(
    start_bridge: StartBridge, old_client: OldClient, queue: str
) -> None:
    await old_client.redis.zadd(f"idtq:{{{queue}}}:v02:owed", {f"{queue}:lost-{queue}": 1})
    await start_bridge()
    answer = await old_client.result(f"lost-{queue}")
    assert answer["type"] == EXCEPTION
    assert "no such task" in answer["message"]


async def test_a_lost_reply_does_no_harm(
    calls: AsyncRedis, old_client: OldClient, queue: str
) -> None:
    """The call is sent again. What it has taken is not in the list any more."""
    names = BridgedQueue.parse(queue)
    await old_client.push(queue, "echo", 1)
    await old_client.push(queue, "echo", 2)
    requests = await calls.run(bridge.peek(names.keys, 10))
    payload = codec.encode_task(Task("echo"))
    ids = [f"{queue}:1", f"{queue}:2"]
    adoptees = [Adoptee(r, i, payload, "echo") for r, i in zip(requests, ids, strict=True)]
    call = bridge.adopt(names.keys, queue, adoptees, 1000)
    assert await calls.run(call) == [Adopted.OK, Adopted.OK]
    assert await calls.run(call) == [Adopted.GONE, Adopted.GONE]
    assert await old_client.redis.llen(f"idtq:{{{queue}}}:pending") == 2
    repay = bridge.repay(names.keys, ids[0], f"{queue}-1", b"s", b"r", 1000)
    assert await calls.run(repay) is True
    assert await calls.run(repay) is False
    assert await old_client.redis.lrange(f"{queue}-1-result", 0, -1) == [b"r"]
    assert await calls.run(bridge.mirror(names.keys, ids[0], f"{queue}-1", b"x", 9)) is False
    assert await old_client.redis.get(f"{queue}-1-status") == b"s"


async def test_what_an_old_worker_took_first_is_left_to_it(
    calls: AsyncRedis, old_client: OldClient, queue: str
) -> None:
    names = BridgedQueue.parse(queue)
    for n in range(3):
        await old_client.push(queue, "echo", n)
    requests = await calls.run(bridge.peek(names.keys, 3))
    await old_client.redis.lpop(queue)
    adoptees = [
        Adoptee(request, f"{queue}:{n}", codec.encode_task(Task("echo")), "echo")
        for n, request in enumerate(requests)
    ]
    answers = await calls.run(bridge.adopt(names.keys, queue, adoptees, 1000))
    assert answers == [Adopted.GONE, Adopted.OK, Adopted.OK]


async def test_a_full_redis_leaves_requests_where_they_are(
    new_redis_server: object, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_redis_server(options=("--maxmemory-policy", "noeviction"))
    old_client = OldClient(server.port)
    request_id = await old_client.push("q", "echo")
    await old_client.redis.set("idtq:{q}:v02:direction", "to new")
    await old_client.redis.config_set("maxmemory", 1)
    async with bridging(Bridge(["q"], server.address)) as running:
        assert running
        await eventually(lambda: "Redis is full" in caplog.text, "an adoption was refused")
        assert await old_client.redis.llen("q") == 1
        await old_client.redis.config_set("maxmemory", 0)
        await eventually(lambda: _is_empty(old_client, "q"), "it was adopted")
    assert await old_client.redis.lrange("idtq:{q}:pending", 0, -1) == [f"q:{request_id}".encode()]
    await old_client.redis.aclose()


async def test_two_directions_are_refused(
    redis_server: RedisServer, start_bridge: StartBridge, raw: redis.Redis, queue: str
) -> None:
    await start_bridge()
    key = f"idtq:{{{queue}}}:v02:direction"
    await eventually(lambda: raw.exists(key), "the direction is held")
    with pytest.raises(WrongDirection, match="moves its tasks to new"):
        await Bridge([queue], redis_server.address, to_old=True).serve()
    assert 0 < raw.ttl(key) <= 15


@pytest.mark.parametrize(
    ("queues", "address", "message"),
    [
        ([], "redis://localhost", "needs a queue"),
        (["a", "a"], "redis://localhost", "named twice"),
        (["MRZ"], "redis://localhost", "'MRZ' is not valid"),
        (["idtq:{a}:pending=a"], "redis://localhost", "is not valid"),
        (["a"], "redis+cluster://localhost", "does not know clusters"),
    ],
)
def test_bad_names_are_refused(queues: list[str], address: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Bridge(queues, address)


@pytest.mark.parametrize(
    "setting", ["ttl_seconds", "concurrency", "answer_seconds", "max_deliveries"]
)
def test_bad_settings_are_refused(setting: str) -> None:
    with pytest.raises(InvalidInput, match=f"{setting}=0: must be"):
        Bridge(["a"], "redis://localhost", **{setting: 0})
