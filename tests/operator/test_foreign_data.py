"""Contents of queues and answers of Redis that make no sense are told, and stop nothing."""

import pytest
from msgspec import msgpack

from identtqueue.protocol.keys import queue_keys
from testing.operating import put, status
from testing.strangers import Stranger
from testing.waiting import eventually

ENTRIES = {
    "no msgpack": b"\xc1",
    "no map": msgpack.encode([1, 2]),
    "a list as uid": msgpack.encode({"host": "h", "pod_uid": [1]}),
    "text as number": msgpack.encode({"host": "h", "concurrency": "many"}),
    "a huge number": msgpack.encode({"host": "h", "registered_at_ms": 2**63}),
    "not a number": msgpack.encode({"host": "h", "registered_at_ms": float("nan")}),
    "a long name": msgpack.encode({"host": "h" * 10_000}),
}


@pytest.mark.parametrize("entry", ENTRIES)
async def test_an_entry_of_a_worker_that_cannot_be_read_is_told_and_spoils_no_other(
    entry, setup, operator, redis_server
):
    setup.fleet.create(1)
    worker = await setup.fleet.add_pod()
    keys = queue_keys(setup.queue)
    redis_server.client().zadd(keys.workers, {"stranger": 2e12, b"\xff\xfe": 2e12})
    redis_server.client().hset(keys.info, "stranger", ENTRIES[entry])
    setup.create()
    await setup.enqueue(3)
    await setup.replicas(3)
    await eventually(lambda: setup.condition("EntriesUnreadable") == ("True", "ForeignData"))
    assert "of worker stranger" in await setup.told("EntriesUnreadable")
    line = f'identtqueue_operator_entries_unreadable{{namespace="ns",taskqueue="{setup.name}"}} 2.0'
    operator.meter.watch(operator.controller.snapshots, lambda: 0)
    await eventually(lambda: line in operator.meter.exposition().decode())
    assert worker.worker_id in {w.worker_id for w in reconciler(operator, setup).seen.workers}
    redis_server.client().zrem(keys.workers, "stranger", b"\xff\xfe")
    await eventually(lambda: setup.condition("EntriesUnreadable") == ("False", "AllReadable"))


def reconciler(operator, setup):
    return operator.controller.reconcilers["ns", setup.name]


async def test_counts_that_are_none_are_the_trouble_of_their_queue_alone(
    api, setup, operator, redis_server
):
    broken = f"{setup.queue}-broken"
    redis_server.client().hset(queue_keys(broken).stats, "succeeded", "many")
    selector = {"matchLabels": {"app": "broken"}}
    api.put("deployments", "broken", {"spec": {"replicas": 1, "selector": selector}, "status": {}})
    spec = {
        "workloadRef": {"name": "broken"},
        "queues": [{"name": broken}],
        "redis": {"address": setup.address},
    }
    api.put("taskqueues", "broken", {"spec": spec})
    setup.fleet.create()
    setup.create()
    await eventually(lambda: status(api, "broken").get("reason") == "RedisIncompatible")
    assert "can't be read" in status(api, "broken")["message"]
    await setup.enqueue()
    await setup.replicas(1)
    redis_server.client().delete(queue_keys(broken).stats)
    await eventually(lambda: status(api, "broken").get("reason") != "RedisIncompatible")


ANSWERS = {
    "a state": b"+OK\r\n",
    "a number": b":7\r\n",
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "an empty list": b"*0\r\n",
    "no text": b"$2\r\n\xff\xfe\r\n",
    "a strange error": b"-\xff\xfe\r\n",
    "a redirect to nowhere": b"-MOVED\r\n",
    "a redirect to a text": b"-ASK x y\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["address", "sentinel", "cluster"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_answers_of_a_wrong_form_are_told_and_end_no_loop(answer, kind, api, operator):
    """A server that lets anybody in, and then answers everything in the same way."""
    asked = []

    def reply(command):
        asked.append(command)
        return ANSWERS[answer]

    stranger = await Stranger().start(reply=reply)
    where = f"127.0.0.1:{stranger.port}"
    places = {
        "address": {"address": where},
        "sentinel": {"sentinel": {"addresses": [where], "masterName": "main"}},
        "cluster": {"cluster": {"addresses": [where]}},
    }
    put(api, "odd", where)
    api.change("taskqueues", "odd", {"spec": {"redis": {"address": None, **places[kind]}}})
    await eventually(lambda: status(api, "odd").get("reason", "").startswith("Redis"))
    before = len(asked)
    await eventually(lambda: len(asked) > before, "it is tried again")
    ready = {c["type"]: c["status"] for c in status(api, "odd")["conditions"]}["Ready"]
    assert ready == "False"
    await stranger.close()


async def test_a_queue_that_answers_wrongly_behind_a_good_login_is_told(api, operator):
    """The server is one; what its scripts say is not."""
    info = b"redis_version:7.2.0\r\nredis_mode:standalone\r\nrun_id:x\r\nuptime_in_seconds:1e9\r\n"

    def reply(command):
        if command[0].upper() == b"INFO":
            return b"$%d\r\n%s\r\n" % (len(info), info)
        return b"*3\r\n:1\r\n*0\r\n$1\r\nx\r\n" if command[0].upper() == b"EVALSHA" else b"+OK\r\n"

    stranger = await Stranger().start(reply=reply)
    put(api, "odd", f"127.0.0.1:{stranger.port}")
    await eventually(lambda: status(api, "odd").get("reason") == "RedisIncompatible")
    await stranger.close()
