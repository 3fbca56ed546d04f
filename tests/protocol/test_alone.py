"""An error in one call or callback does not affect others on the same connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from identtqueue.errors import InvalidInput, ReplyUnreadable
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import inspecting
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS, eventually

NewServer = Callable[..., RedisServer]


def _raise(_reply: object) -> int:
    raise ValueError("unreadable")


UNENCODABLE = {
    "None": Call("ECHO", (), (None,), parse=bytes, is_script=False),  # type: ignore[arg-type]
    "a lone surrogate": Call("ECHO", (), ("\udcff",), parse=bytes, is_script=False),
    "a missing key": Call("wake", ("one",), (), parse=int),
}
UNREADABLE = Call("ECHO", (), ("x",), parse=_raise, is_script=False)


@pytest.mark.parametrize("bad", UNENCODABLE.values(), ids=UNENCODABLE)
async def test_a_call_that_can_not_be_encoded(
    calls: AsyncRedis, queue: str, bad: Call[bytes]
) -> None:
    good = inspecting.depth(queue)
    answers = await asyncio.gather(
        *(calls.run(call) for call in (good, bad, good)), return_exceptions=True
    )
    assert isinstance(answers[1], InvalidInput)
    assert answers[0] == answers[2] == await calls.run(good)
    with pytest.raises(InvalidInput, match=f"`{bad.name}` can't be sent to Redis"):
        await calls.run_all([good, bad])
    with pytest.raises(InvalidInput):
        calls.send(bad, lambda _: None)


@pytest.mark.parametrize("bad", UNENCODABLE.values(), ids=UNENCODABLE)
def test_a_call_of_a_thread_that_can_not_be_encoded(
    redis_server: RedisServer, queue: str, bad: Call[bytes]
) -> None:
    """Threads share batches. The one that sends must not fail because of another's call."""
    shared = blocking_redis(
        RedisSettings(address=redis_server.address), client_name="tests", retry_for_seconds=0
    )
    good = inspecting.depth(queue)
    together = threading.Barrier(16)

    def run(number: int) -> None:
        together.wait(LONG_SECONDS)
        for _ in range(20):
            if number % 2:
                with pytest.raises(InvalidInput):
                    shared.run(bad)
            else:
                assert shared.run(good).queued == 0

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(run, number) for number in range(16)]:
            done.result(LONG_SECONDS)
    shared.close()


async def test_a_reply_that_can_not_be_read(calls: AsyncRedis, queue: str) -> None:
    good = inspecting.depth(queue)
    answers = await calls.run_each([good, UNREADABLE, good])
    assert isinstance(answers[1], ReplyUnreadable)
    assert answers[0] == answers[2]
    told: list[object] = []
    calls.send(UNREADABLE, told.append)
    await eventually(lambda: told, "the caller is told")
    assert isinstance(told[0], ReplyUnreadable)


async def test_a_caller_whose_answer_raises(
    calls: AsyncRedis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []

    def fails(answer: object) -> None:
        told.append(answer)
        raise ValueError("a bad callback")

    calls.send(inspecting.depth(queue), fails)
    calls.send(inspecting.depth(queue), told.append)
    await eventually(lambda: len(told) == 2, "both are told")
    assert (await calls.run(inspecting.depth(queue))).queued == 0
    assert "handling the reply to depth failed" in caplog.text


@pytest.mark.parametrize("bad", ["on_message", "on_connected", "on_refused"])
async def test_a_subscriber_whose_callback_raises(
    new_redis_server: NewServer, queue: str, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It still gets messages, reconnects, and survives a refusal."""
    server = new_redis_server()
    told: list[str] = []

    def callback(name: str) -> Callable[..., None]:
        def tell(*arguments: object) -> None:
            told.append(f"{name} {arguments[-1]!r:.20}")
            if name == bad:
                raise ValueError("a bad callback")

        return tell

    names = ("on_message", "on_connected", "on_refused")
    subscriber = Subscriber(
        RedisSettings(address=server.address, username="listener", password="x"),
        client_name="tests",
        **{name: callback(name) for name in names},
    )
    with server.client() as raw:

        def hears(word: str) -> bool:
            raw.publish(queue, word)
            return f"on_message {word.encode()!r}" in told

        raw.execute_command("ACL", "SETUSER", "listener", "on", ">x", "+@all", "allchannels")
        await subscriber.add(queue)
        await eventually(lambda: hears("first"))
        raw.client_kill_filter(_type="pubsub")
        await eventually(lambda: "on_connected False" in told)
        await eventually(lambda: hears("after a cut"))
        raw.execute_command("ACL", "SETUSER", "listener", "resetpass")
        raw.client_kill_filter(_type="pubsub")
        await eventually(lambda: any(line.startswith("on_refused") for line in told))
        raw.execute_command("ACL", "SETUSER", "listener", ">x")
        await eventually(lambda: hears("after a refusal"))
    await subscriber.close()
    assert "tests: a callback failed" in caplog.text


async def test_a_channel_that_can_not_be_named(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """It must not be subscribed again at each reconnect, which would silence the others."""
    heard: list[bytes] = []
    subscriber = Subscriber(
        RedisSettings(address=redis_server.address),
        client_name="tests",
        on_message=lambda _, data: heard.append(data),
    )
    await subscriber.add(queue)
    with pytest.raises(InvalidInput):
        await subscriber.add("\udcff")
    raw.client_kill_filter(_type="pubsub")
    await eventually(lambda: raw.publish(queue, "x") == 1, "it listens again")
    await eventually(lambda: heard)
    await subscriber.close()
