"""Outages of Redis and cut connections: the client recovers, and logs it once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
import redis

from identtqueue import (
    Client,
    RedisSettings,
    RedisUnavailable,
    ResultTimeout,
    State,
    TaskExists,
    TaskOptions,
)
from identtqueue.errors import RedisAuthFailed
from testing.packing import field, is_awaited
from testing.processes import environment
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

NewServer = Callable[..., RedisServer]


async def echo(_ctx, value=None):
    return value


async def test_a_result_that_came_while_disconnected(
    redis_server: RedisServer, serve: Serve, queue: str
) -> None:
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        task_id = await client.enqueue_job(queue, "echo", "meanwhile")
        wait = asyncio.create_task(client.wait_for_result(task_id, 60))
        with redis_server.client() as raw:
            await eventually(lambda: is_awaited(raw, task_id), "the wait is registered")
            proxy.refuse()
            await serve({"echo": echo})
            await eventually(
                lambda: field(raw, task_id, "state") == b"succeeded", "the task has ended"
            )
        assert not wait.done()
        proxy.accept()
        assert await wait == "meanwhile"


async def test_enqueue_retried_through_cuts_is_one_task(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """The request arrived but its reply was lost. Sent again, it is still one task."""
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        proxy.hold_replies()
        enqueue = asyncio.create_task(client.enqueue_job(queue, "echo"))
        pending = f"idtq:{{{queue}}}:pending"
        await eventually(lambda: raw.llen(pending) == 1, "the request arrived")
        proxy.cut()
        proxy.release_replies()
        task_id = await enqueue
        assert raw.lrange(pending, 0, -1) == [task_id.encode()]
        assert int(raw.hget(f"idtq:{{{queue}}}:stats", "enqueued")) == 1


async def test_an_enqueue_that_is_sent_again_does_not_meet_its_own_task(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """`on_existing="raise"` only refers to tasks of other calls."""
    options = TaskOptions(task_id="once", on_existing="raise")
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        proxy.hold_replies()
        enqueue = asyncio.create_task(client.enqueue_job(queue, "echo", task_options=options))
        await eventually(lambda: raw.llen(f"idtq:{{{queue}}}:pending") == 1, "the request arrived")
        proxy.cut()
        proxy.release_replies()
        assert await enqueue == f"{queue}:once"
        with pytest.raises(TaskExists):
            await client.enqueue_job(queue, "echo", task_options=options)
    assert raw.llen(f"idtq:{{{queue}}}:pending") == 1


async def test_enqueue_retried_through_a_restart_is_one_task(new_redis_server: NewServer) -> None:
    server = new_redis_server(aof=True)
    async with Client(server.address) as client:
        before = await client.enqueue_job("q", "echo", 1)
        server.kill()
        during = [asyncio.create_task(client.enqueue_job("q", "echo", n)) for n in range(20)]
        await asyncio.sleep(0)
        server.start()
        ids = [before, *await asyncio.gather(*during)]
        with server.client() as raw:
            assert sorted(raw.lrange("idtq:{q}:pending", 0, -1)) == sorted(i.encode() for i in ids)
            assert raw.hget("idtq:{q}:stats", "enqueued") == b"21"


async def test_waits_survive_a_restart(new_redis_server: NewServer) -> None:
    server = new_redis_server(aof=True)
    async with Client(server.address) as client:
        ids = [await client.enqueue_job("q", "echo", n) for n in range(30)]
        waits = [asyncio.create_task(client.wait_for_result(task_id, 60)) for task_id in ids]
        with server.client() as raw:
            await eventually(lambda: is_awaited(raw, ids[-1]), "the waits are registered")
        server.kill()
        server.start()
        from identtqueue import Worker

        async with serving(Worker({"echo": echo}, server.address, "q")):
            assert await asyncio.gather(*waits) == list(range(30))


async def test_a_hung_connection_is_given_up(new_redis_server: NewServer) -> None:
    """Redis hangs, so nothing is answered or closed. The call is sent again."""
    server = new_redis_server()
    settings = RedisSettings(address=server.address, response_timeout_seconds=0.3)
    async with Client(settings, retry_for_seconds=60) as client:
        task_id = await client.enqueue_job("q", "echo")
        server.pause()
        status = asyncio.create_task(client.get_status(task_id))
        done, _ = await asyncio.wait({status}, timeout=1.0)  # well past the response time-out
        assert not done
        server.resume()
        assert await status is State.PENDING


async def test_gives_up_after_its_time(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    async with Client(server.address, retry_for_seconds=0.2) as client:
        server.kill()
        with pytest.raises(RedisUnavailable, match="Redis can't be reached"):
            await client.enqueue_job("q", "echo")
        server.start()
        assert await client.enqueue_job("q", "echo")


async def test_a_login_that_is_refused_midway_fails_the_waits(new_redis_server: NewServer) -> None:
    """Waits without a timeout fail too, or they would never end. Later the client works again."""
    server = new_redis_server()
    async with Client(server.address) as client:
        task_id = await client.enqueue_job("q", "echo")
        waits = [asyncio.create_task(client.wait_for_result(task_id)) for _ in range(2)]
        with server.client() as raw:
            await eventually(lambda: is_awaited(raw, task_id), "the waits are registered")
            raw.config_set("requirepass", "changed")
            raw.client_kill_filter(_type="pubsub")
            for wait in waits:
                with pytest.raises(RedisAuthFailed, match="Check user name, password and ACL"):
                    await wait
            with pytest.raises(RedisAuthFailed):
                await client.wait_for_result(task_id)
            raw.config_set("requirepass", "")
            await waits_again(client, task_id)


async def waits_again(client: Client, task_id: str) -> None:
    """Wait until waits work again: then one times out instead of being refused."""

    async def waits() -> bool:
        try:
            await client.wait_for_result(task_id, 0.05)
        except ResultTimeout:
            return True
        except RedisAuthFailed:
            return False
        return False

    await eventually(waits, "it listens again")


async def test_a_channel_that_is_forbidden_fails_the_wait(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], keys=["*"])
        raw.execute_command("ACL", "SETUSER", "default", "resetchannels", "&idtq:{q}:*")
    async with Client(server.address) as client:
        task_id = await client.enqueue_job("q", "echo")
        with pytest.raises(RedisAuthFailed, match="channel"):
            await client.wait_for_result(task_id)
        assert await client.get_status(task_id) is State.PENDING


async def test_nobody_there() -> None:
    with pytest.raises(RedisUnavailable, match=r"Redis can't be reached: .*127\.0\.0\.1:1"):
        await Client("redis://127.0.0.1:1", retry_for_seconds=0).connect()


async def test_a_client_killed_between_enqueue_and_reply(
    redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str, client: Client
) -> None:
    """A task that Redis has accepted runs, even if its caller died before the reply."""
    code = """
        import asyncio, sys
        from identtqueue import Client, TaskOptions

        async def main():
            async with Client(sys.argv[1]) as client:
                print("connected", flush=True)
                sys.stdin.readline()
                options = TaskOptions(task_id="from-the-dead")
                await client.enqueue_job(sys.argv[2], "echo", 1, task_options=options)
                print("accepted", flush=True)

        asyncio.run(main())
    """
    async with Proxy(redis_server.port) as proxy:
        caller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", textwrap.dedent(code), proxy.address, queue),
            env=environment(proxy.address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert await caller.stdout.readline() == b"connected\n"
        proxy.hold_replies()
        caller.stdin.write(b"go\n")
        pending = f"idtq:{{{queue}}}:pending"
        await eventually(lambda: raw.llen(pending) == 1, "the request arrived")
        caller.kill()
        output, _ = await caller.communicate()
        assert output == b"", "it never heard the answer"
    await serve({"echo": echo})
    assert await client.wait_for_result(f"{queue}:from-the-dead", 30) == 1
    again = TaskOptions(task_id="from-the-dead")
    await client.enqueue_job(queue, "echo", 1, task_options=again)
    assert int(raw.hget(f"idtq:{{{queue}}}:stats", "enqueued")) == 1, "its successor repeats it"
