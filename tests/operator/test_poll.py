"""The poll of one Redis: what wakes a TaskQueue, and what does not."""

import asyncio

import pytest

from identtqueue.admin import Admin
from identtqueue_operator.queues.health import Health
from identtqueue_operator.queues.listeners import Listeners
from identtqueue_operator.queues.poll import Poll
from testing.waiting import eventually


class Polled:
    """A queue that is polled all the time, and how often its listener was woken."""

    def __init__(self, admin, queue):
        self.rings = 0
        self.listeners = Listeners()
        self.poll = Poll(admin, self.listeners, Health("redis", lambda: None))
        self.listeners.put("owner", [queue], 0.0, self.ring)
        self.poll.add(queue)

    def ring(self):
        self.rings += 1


@pytest.fixture
async def polled(redis_server, queue):
    async with Admin(redis_server.address, retry_for_seconds=0) as admin:
        polled = Polled(admin, queue)
        running = asyncio.get_running_loop().create_task(polled.poll.run())
        yield polled
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_queue_that_is_empty_at_the_first_look_wakes_nobody(polled, client, queue):
    await polled.poll.tried.wait()
    assert polled.rings == 0
    await client.enqueue_job(queue, "job")
    await eventually(lambda: polled.rings == 1)


@pytest.mark.slow
async def test_a_pause_is_a_change_that_no_doorbell_rings_for(polled, redis_server, queue):
    await polled.poll.tried.wait()
    async with Admin(redis_server.address) as admin:
        await admin.pause(queue)
        await eventually(lambda: polled.rings == 1)
        await admin.resume(queue)
        await eventually(lambda: polled.rings == 2)
