"""Every decoder of what Redis and the API server say, fed with what they would never say.

A decoder gives a value or one of the errors that its caller expects. Nothing else may come out of
it: an exception of another kind is what ends loops.
"""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions as redis_errors

from identtqueue.errors import IdenttqueueError, RedisUnavailable
from identtqueue.protocol.calls import (
    acting,
    inspecting,
    listing,
    one_task,
    recovering,
    scheduling,
    server_facts,
)
from identtqueue.transport import refusals, slot_map, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.server import check_server, own_name
from identtqueue.transport.settings import RedisSettings
from identtqueue_operator.kube import client, parse
from identtqueue_operator.kube.requests import parse_answer
from identtqueue_operator.policy.claims import Claim
from identtqueue_operator.queues.redis_errors import explain
from identtqueue_operator.times import timestamp
from identtqueue_operator.workload.kinds import WATCHED

SCALARS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=30)
ERRORS = st.text(max_size=30).map(redis_errors.ResponseError)
REPLIES = st.recursive(SCALARS | ERRORS, lambda inner: st.lists(inner, max_size=14), max_leaves=40)
"""The values that the protocol of Redis can carry."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("metadata", "spec", "status", "name", "uid", "labels", "conditions", "type")
            )
            | st.text(max_size=8),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)

CALLS = {
    "depth": inspecting.depth("q"),
    "workers": inspecting.workers("q"),
    "connected": recovering.connected(["w.1", "w.2"]),
    "server info": server_facts.server_info(),
    "memory info": server_facts.memory_info(),
    "cluster slots": server_facts.cluster_slots(),
    "role": server_facts.role(),
    "promote": scheduling.promote("q"),
    "expired": recovering.expired("q", 1),
    "recover": recovering.recover("q", "w.1", waive_lease=True, max_deliveries=5),
    "drain": acting.drain("q", ["w.1"], stop=True),
    "pause": acting.pause("q", stop=True),
    "limits": inspecting.limits("q"),
    "ring": scheduling.ring("q"),
    "dead letters": listing.dead_letters("q", 0, 10),
    "task info": one_task.task_info("q:1"),
    "replay": acting.replay("q", ["q:1"]),
    "hasten": acting.reschedule("q", {"q:1": 0}),
    "scheduled tasks": listing.scheduled_tasks("q", 0, 10),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@given(reply=REPLIES)
def test_a_reply_gives_a_value_or_an_error_of_the_library(name, reply):
    with contextlib.suppress(IdenttqueueError):
        wire.parse(CALLS[name], reply)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.integers(-5, 2**40),
            st.integers(-5, 2**40),
            st.tuples(SCALARS, SCALARS) | st.tuples(st.binary(max_size=300), st.integers()),
        )
        | REPLIES,
        max_size=5,
    )
)
def test_a_map_of_slots_is_one_or_none(reply):
    with contextlib.suppress(RedisUnavailable):
        found = slot_map.learn(RedisSettings(address="redis+cluster://h:1"), reply, Server("h", 1))
        assert len(found.nodes) <= slot_map.MOST_NODES


@given(
    st.dictionaries(
        st.sampled_from(
            (
                "redis_version",
                "server_name",
                "redis_mode",
                "server_mode",
                "run_id",
                "uptime_in_seconds",
            )
        ),
        st.text(max_size=40),
    )
)
def test_what_a_server_says_of_itself(info):
    own_name(info)
    assert 0 <= server_facts.uptime_seconds(info) < 10**12
    with contextlib.suppress(IdenttqueueError):
        check_server(info, Topology.STANDALONE)


@given(st.text(max_size=200))
def test_an_error_reply_is_told_in_fixed_words(text):
    for kind in (redis_errors.ResponseError, redis_errors.ConnectionError):
        told = explain(refusals.translate(kind(f"{text}\x1bhush-hush")))
        assert "hush-hush" not in told


@pytest.mark.slow
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_an_answer_of_the_api_server_is_an_object(text):
    assert isinstance(parse_answer(text), dict)


@pytest.mark.slow
@given(JSON)
def test_an_object_of_a_list_is_boiled_down_or_refused(body):
    """Who reads a list leaves out what is refused in one of these ways."""
    watched = (kind.read for kind in WATCHED)
    for decode in (client.heading, parse.pod, parse.selector, *watched):
        with contextlib.suppress(AttributeError, TypeError, LookupError, ValueError):
            decode(body)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(("operator",)), JSON))
def test_a_claim_in_a_status(status):
    with contextlib.suppress(AttributeError):
        Claim.read(status)


@pytest.mark.slow
@given(st.text(max_size=40))
def test_a_time_is_one_or_none(text):
    assert timestamp(text) is None or isinstance(timestamp(text), float)
