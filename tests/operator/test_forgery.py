"""The operator as a way into the network: it goes only where it may, and tells nothing of it."""

import socket

import pytest
from redis.crc import key_slot

from testing.operating import Operator, put, status
from testing.strangers import Stranger
from testing.waiting import eventually

BANNER = b"220 db7.secret.example ESMTP\r\n"
SECRET_TEXT = "hush-hush"


@pytest.fixture
async def guarded(api, kube):
    """An operator as in a pod, that may connect to one address of this host alone."""
    running = Operator(api, kube, in_pod=True, redis_allow=("127.0.0.1/32",))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def inner():
    """A server that must not be reached, on another address of this host."""
    server = Stranger()
    await server.start(reply=lambda _: b"+OK\r\n", host="127.0.0.2")
    yield server
    await server.close()


def info(*lines: bytes) -> bytes:
    text = b"\r\n".join((b"redis_version:7.2.0", b"run_id:x", *lines))
    return b"$%d\r\n%s\r\n" % (len(text), text)


def bulk(*texts: bytes) -> bytes:
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(t), t) for t in texts)


def place(api, where, kind="address", **more):
    places = {
        "address": {"address": where},
        "sentinel": {"sentinel": {"addresses": [where], "masterName": "main"}},
        "cluster": {"cluster": {"addresses": [where]}},
    }
    put(api, "evil", where)
    api.change("taskqueues", "evil", {"spec": {"redis": {"address": None, **places[kind], **more}}})


async def refused(api, inner):
    await eventually(lambda: status(api, "evil").get("reason") == "RedisAddressRefused")
    assert not inner.opened_at


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.2]", "127.2", "0x7f000002"])
async def test_an_address_that_is_not_allowed_is_told_and_not_touched(api, guarded, inner, host):
    place(api, f"{host}:{inner.port}")
    await refused(api, inner)


async def test_with_tls_the_second_look_does_not_get_around_the_rule(api, guarded, inner):
    place(api, f"127.0.0.2:{inner.port}", tls={"enabled": True})
    await refused(api, inner)


@pytest.mark.parametrize("announced", [b"127.0.0.2", b"169.254.169.254"])
async def test_the_master_that_a_sentinel_announces_is_held_to_it(api, guarded, inner, announced):
    def reply(command):
        if command[0].upper() != b"SENTINEL":
            return b"+OK\r\n"
        port = str(inner.port).encode()
        fields = (b"name", b"main", b"ip", announced, b"port", port, b"flags", b"master")
        return b"*1\r\n" + bulk(*fields, b"num-other-sentinels", b"1")

    sentinel = await Stranger().start(reply=reply)
    place(api, f"127.0.0.1:{sentinel.port}", "sentinel")
    await refused(api, inner)
    await sentinel.close()


async def test_the_nodes_that_a_cluster_announces_are_held_to_it(api, guarded, inner):
    def reply(command):
        match [word.upper() for word in command[:2]]:
            case [b"INFO", _]:
                return info(b"redis_mode:cluster")
            case [b"CLUSTER", b"SLOTS"]:
                node = b"*2\r\n$9\r\n127.0.0.2\r\n:%d\r\n" % inner.port
                return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node
        return b"+OK\r\n"

    node = await Stranger().start(reply=reply)
    place(api, f"127.0.0.1:{node.port}", "cluster")
    await refused(api, inner)
    await node.close()


@pytest.mark.parametrize("word", [b"MOVED", b"ASK"])
async def test_a_redirect_is_held_to_it(api, guarded, inner, word):
    slot = key_slot(b"{evil}")

    def reply(command):
        match [word.upper() for word in command[:2]]:
            case [b"INFO", _]:
                return info(b"redis_mode:cluster")
            case [b"CLUSTER", b"SLOTS"]:
                node = b"*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % port[0]
                return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node
            case [b"EVALSHA" | b"PUBLISH", _]:
                return b"-%s %d 127.0.0.2:%d\r\n" % (word, slot, inner.port)
        return b"+OK\r\n"

    port = [0]
    node = await Stranger().start(reply=reply)
    port[0] = node.port
    place(api, f"127.0.0.1:{node.port}", "cluster")
    await refused(api, inner)
    await node.close()


async def test_a_name_that_resolves_to_a_special_address_is_refused(api, kube, inner, monkeypatch):
    """Also one that the list has: the owner of the name may have it say anything."""
    real = socket.getaddrinfo

    def lookup(host, *arguments, **options):
        return real("127.0.0.2" if host == "redis.example.com" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    operator = Operator(api, kube, in_pod=True, redis_allow=("redis.example.com",))
    await operator.start()
    place(api, f"redis.example.com:{inner.port}")
    await refused(api, inner)
    await operator.stop()


async def test_what_is_allowed_is_served(api, guarded, setup):
    setup.fleet.create()
    setup.create()
    await setup.enqueue()
    await setup.replicas(1)


ANSWERS = {
    "a banner": BANNER,
    "an error": b"-ERR db7.secret.example says hush-hush\r\n",
    "a refusal": b"-NOPERM hush-hush may not\r\n",
    "a login": b"-WRONGPASS db7.secret.example hush-hush\r\n",
    "a full server": b"-OOM command not allowed when db7.secret.example\r\n",
    "a redirect": b"-MOVED 1 db7.secret.example:7\r\n",
    "an old server": info(b"redis_version:1.hush-hush").replace(b"7.2.0", b"1.0.0"),
    "a Sentinel": info(b"redis_mode:sentinel", b"x:hush-hush"),
    "masters": b"*1\r\n" + bulk(b"name", b"db7.secret.example", b"ip", b"1.2.3.4"),
    "loading": b"-LOADING db7.secret.example\r\n",
}


@pytest.mark.parametrize("kind", ["address", "sentinel", "cluster"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_status_does_not_repeat_what_answered(answer, kind, api, operator):
    stranger = await Stranger().start(reply=lambda _: ANSWERS[answer])
    place(api, f"127.0.0.1:{stranger.port}", kind)
    await eventually(lambda: status(api, "evil").get("reason", "").startswith("Redis"))
    await eventually(lambda: any(e["type"] == "Warning" for e in api.all("events")))
    everything = str(status(api, "evil")) + str(api.all("events"))
    for secret in ("secret.example", SECRET_TEXT, "ESMTP", "1.2.3.4"):
        assert secret not in everything
    await stranger.close()
