"""The pub/sub transport, and its guarantees after `add` and after `on_connected(True)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import redis

from identtqueue.errors import RedisAuthFailed, RedisError
from identtqueue.transport import subscriber as subscriber_module
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.waiting import eventually

NewServer = Callable[..., RedisServer]


class Listener:
    """A subscriber, with a record of all its callbacks."""

    def __init__(self, address: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.states: list[bool] = []
        self.subscriber = Subscriber(
            RedisSettings(address=address),
            client_name="tests",
            on_message=lambda channel, data: self.heard.append((channel, data)),
            on_connected=self.states.append,
        )

    async def until(self, *states: bool) -> None:
        await eventually(lambda: self.states == list(states), lambda: f"{self.states}")

    async def hears(self, channel: str, data: bytes) -> None:
        await eventually(lambda: (channel, data) in self.heard, lambda: f"{self.heard}")


@pytest.fixture
async def listener(proxy: Proxy) -> AsyncIterator[Listener]:
    listener = Listener(proxy.address)
    yield listener
    await listener.subscriber.close()


@pytest.fixture
def publish(raw: redis.Redis) -> Iterator[Callable[[str, str], int]]:
    """Publish a message; return the number of its receivers."""
    return lambda channel, data: int(raw.publish(channel, data))


async def test_after_add_nothing_is_missed(
    listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    await listener.subscriber.add(f"{queue}-1", f"{queue}-2")
    assert publish(f"{queue}-1", "one") == 1
    assert publish(f"{queue}-2", "two") == 1
    await listener.hears(f"{queue}-1", b"one")
    await listener.hears(f"{queue}-2", b"two")
    assert listener.states == [True]


async def test_adding_a_channel_twice_is_adding_it_once(
    listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    await asyncio.gather(*(listener.subscriber.add(queue) for _ in range(20)))
    await listener.subscriber.add(queue)
    assert publish(queue, "x") == 1
    await listener.hears(queue, b"x")
    assert listener.heard == [(queue, b"x")]


async def test_a_channel_that_was_removed_is_silent(
    listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    await listener.subscriber.add(f"{queue}-1", f"{queue}-2")
    await listener.subscriber.remove(f"{queue}-1", "never added")
    await eventually(lambda: publish(f"{queue}-1", "x") == 0, "Redis has unsubscribed it")
    assert publish(f"{queue}-2", "y") == 1
    await listener.subscriber.add(f"{queue}-1")
    assert publish(f"{queue}-1", "z") == 1


async def test_without_channels_it_is_connected_all_the_same(listener: Listener) -> None:
    listener.subscriber.start()
    listener.subscriber.start()
    await listener.until(True)


async def test_a_late_confirmation_of_a_channel_that_was_removed_counts_for_nothing(
    proxy: Proxy,
    listener: Listener,
    raw: redis.Redis,
    queue: str,
    publish: Callable[[str, str], int],
) -> None:
    gone, other = f"{queue}-1", f"{queue}-2"
    await listener.subscriber.add(other)
    proxy.hold_replies()
    adding = asyncio.ensure_future(listener.subscriber.add(gone))
    await eventually(lambda: raw.pubsub_numsub(gone)[0][1] == 1, "Redis has subscribed it")
    adding.cancel()
    await listener.subscriber.remove(gone)
    proxy.release_replies()
    await listener.subscriber.add(f"{queue}-3")  # confirmed after the other
    assert not listener.subscriber.hears(gone)
    await listener.subscriber.add(gone)
    assert publish(gone, "x") == 1
    await listener.hears(gone, b"x")


@pytest.mark.slow
async def test_who_is_let_in_and_refused_tries_less_and_less_often(
    new_redis_server: NewServer, queue: str
) -> None:
    server = new_redis_server()
    refused: list[RedisError] = []
    subscriber = Subscriber(
        RedisSettings(address=server.address, username="listener", password="x"),
        client_name="tests",
        on_message=lambda *_: None,
        on_refused=refused.append,
    )
    with server.client() as raw:
        only = ("resetchannels", f"&{queue}")  # before 7.0 a user starts with all channels
        raw.execute_command("ACL", "SETUSER", "listener", "on", ">x", "+@all", *only)
        await subscriber.add(queue)
        loop = asyncio.get_running_loop()
        start = loop.time()
        raw.execute_command("ACL", "SETUSER", "listener", "resetchannels")
        raw.client_kill_filter(user="listener")
        await eventually(lambda: len(refused) >= 6, "it has been refused six times")
    assert all(isinstance(error, RedisAuthFailed) for error in refused)
    assert loop.time() - start >= 1.5, "five pauses that double"
    await subscriber.close()


async def test_after_a_cut_all_channels_are_subscribed_again_before_it_says_so(
    proxy: Proxy, listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    channels = [f"{queue}-{i}" for i in range(20)]
    await listener.subscriber.add(*channels)
    proxy.cut()
    await listener.until(True, False, True)
    assert [publish(channel, "x") for channel in channels] == [1] * 20
    for channel in channels:
        await listener.hears(channel, b"x")


async def test_a_channel_added_during_an_outage_is_there_after_it(
    proxy: Proxy, listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    await listener.subscriber.add(f"{queue}-1")
    proxy.refuse()
    await listener.until(True, False)
    adding = asyncio.ensure_future(listener.subscriber.add(f"{queue}-2"))
    await asyncio.sleep(0)
    assert not adding.done()
    proxy.accept()
    await adding
    assert publish(f"{queue}-2", "x") == 1
    await listener.until(True, False, True)
    assert publish(f"{queue}-1", "x") == 1


async def test_a_restart_of_redis(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    listener = Listener(server.address)
    await listener.subscriber.add(queue)
    server.kill()
    await listener.until(True, False)
    server.start()
    await listener.until(True, False, True)
    with server.client() as raw:
        assert raw.publish(queue, "x") == 1
    await listener.hears(queue, b"x")
    await listener.subscriber.close()
    assert listener.states == [True, False, True, False]


async def test_a_half_open_connection_is_noticed(
    new_redis_server: NewServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "PING_SECONDS", 0.2)
    server = new_redis_server()
    listener = Listener(server.address)
    await listener.subscriber.add(queue)
    server.pause()
    await listener.until(True, False)
    server.resume()
    await eventually(lambda: listener.states[-1], "it is connected again")
    await listener.subscriber.close()


@pytest.mark.slow
async def test_silence_alone_is_no_loss(
    new_redis_server: NewServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "PING_SECONDS", 1)
    server = new_redis_server()
    listener = Listener(server.address)
    await listener.subscriber.add(queue)
    with server.client() as raw:

        def pings() -> int:  # nothing of it is to be seen at the listener
            return int(raw.info("commandstats").get("cmdstat_ping", {}).get("calls", 0))

        before = pings()
        await eventually(lambda: pings() >= before + 3, "it has asked for signs of life")
    assert listener.states == [True]
    await listener.subscriber.close()


async def test_one_bad_message_does_not_silence_the_rest(
    redis_server: RedisServer, queue: str, publish: Callable[[str, str], int]
) -> None:
    heard: list[bytes] = []

    def on_message(_channel: str, data: bytes) -> None:
        if data == b"bad":
            raise ValueError("unreadable")
        heard.append(data)

    subscriber = Subscriber(
        RedisSettings(address=redis_server.address), client_name="tests", on_message=on_message
    )
    await subscriber.add(queue)
    publish(queue, "bad")
    publish(queue, "good")
    await eventually(lambda: heard == [b"good"], "the message behind the bad one")
    await subscriber.close()


async def test_closing_is_final_and_may_be_repeated(
    listener: Listener, queue: str, publish: Callable[[str, str], int]
) -> None:
    await listener.subscriber.close()
    await listener.subscriber.add(queue)
    await listener.subscriber.close()
    await listener.subscriber.close()
    await eventually(lambda: publish(queue, "x") == 0, "nobody listens")
    assert listener.states == [True, False]
