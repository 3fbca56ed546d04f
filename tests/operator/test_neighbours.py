"""A TaskQueue whose Redis is a nuisance harms no other TaskQueue, and says what is the matter."""

import pytest

from identtqueue_operator.queues.gate import SLOW_PACE_SECONDS
from identtqueue_operator.rounds.resource import MOST_SPEC_BYTES
from identtqueue_operator.timings import Timings
from testing.operating import put, status
from testing.strangers import ENDLESS, Stranger
from testing.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture
async def stranger():
    server = Stranger()
    yield server
    await server.close()


@pytest.mark.slow
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


async def test_a_spec_that_is_too_large_is_refused_until_it_is_small_enough(api, setup, operator):
    """Nor do writes of its status bring all of it back: an answer holds metadata only."""
    setup.fleet.create()
    setup.create()
    annotations = {"notes": "x" * MOST_SPEC_BYTES}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "w"}]}}
    spec = {"template": template, "queues": [{"name": "q"}], "redis": {"address": "redis.example"}}
    api.put("taskqueues", "huge", {"spec": spec})
    await eventually(lambda: status(api, "huge").get("reason") == "InvalidSpec")
    assert "the spec is 262," in status(api, "huge")["message"]
    path = "/apis/identtqueue.dev/v1alpha1/namespaces/ns/taskqueues/huge/status"
    await eventually(lambda: api.answered[path])
    assert api.answered[path] < 10_000
    await setup.enqueue()
    await setup.replicas(1)
    annotations["notes"] = "x"
    api.change("taskqueues", "huge", {"spec": {"template": template}})
    await eventually(lambda: status(api, "huge").get("reason") != "InvalidSpec")


@pytest.mark.parametrize("timings", [Timings(connect_seconds=600.0)])
async def test_the_first_look_of_others_waits_for_no_silent_redis(api, setup, operator, stranger):
    """More TaskQueues than may have their first look at the same time, each at its own address."""
    await stranger.start()
    for n in range(100):
        put(api, f"silent-{n}", f"127.0.0.1:{stranger.port}/{n}")
    await eventually(lambda: len(stranger.opened_at) >= 100)
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    await setup.enqueue()
    await setup.replicas(1)
    assert not any("reason" in status(api, f"silent-{n}") for n in range(100))


@pytest.mark.slow
async def test_what_hangs_up_is_connected_to_at_a_bounded_pace(api, operator, stranger):
    await stranger.start(hangs_up=True)
    count = 60
    for n in range(count):
        put(api, f"rude-{n}", f"127.0.0.1:{stranger.port}/{n}")
    await eventually(
        lambda: all(
            status(api, f"rude-{n}").get("reason") == "RedisUnreachable" for n in range(count)
        )
    )
    before = len(stranger.opened_at)
    await eventually(lambda: len(stranger.opened_at) >= before + 60)
    opened = stranger.opened_at[before:]
    # The slow lane's pace, for all of them and for their doorbells together.
    assert opened[59] - opened[0] >= 59 * SLOW_PACE_SECONDS * 0.9
