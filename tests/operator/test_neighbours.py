"""A TaskQueue whose Redis is a nuisance harms no other TaskQueue, and says what is the matter."""

import pytest

from support.strangers import ENDLESS, Stranger
from support.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture
async def stranger():
    server = Stranger()
    yield server
    await server.close()


def put(api, name, address) -> None:
    """A TaskQueue with a Deployment of its own."""
    selector = {"matchLabels": {"app": name}}
    api.put("deployments", name, {"spec": {"replicas": 0, "selector": selector}, "status": {}})
    queue = {"workloadRef": {"name": name}, "queues": [{"name": name}]}
    api.put("taskqueues", name, {"spec": {**queue, "redis": {"address": address}}})


def status(api, name):
    return api.get("taskqueues", name).get("status") or {}


@pytest.mark.parametrize("says", ENDLESS)
async def test_a_redis_that_answers_too_much_is_cut_off_and_told(
    says, api, setup, operator, stranger
):
    await stranger.start(says=says)
    setup.fleet.create()
    setup.create()
    put(api, "evil", f"127.0.0.1:{stranger.port}")
    await eventually(lambda: status(api, "evil").get("reason") == "RedisProtocolError")
    conditions = {c["type"]: c for c in status(api, "evil")["conditions"]}
    assert conditions["RedisReachable"]["status"] == "False"
    assert conditions["Ready"]["status"] == "False"
    await eventually(lambda: len(stranger.opened_at) > 2)
    # What the kernel and asyncio buffer comes on top of the budget.
    assert stranger.most_sent < 32 * MIB
    await setup.enqueue()
    await setup.replicas(1)
