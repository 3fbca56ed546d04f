"""One workload for the queues of two Redis: the larger number counts, even if one is away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from identtqueue import Client, RedisSettings
from identtqueue_operator.api.v1alpha1 import MOST_TRIGGERS, RESERVED_NAME, SHARED_SLOTS
from testing.cluster import redis_pods
from testing.cluster.workload import pod_spec, task_queue

REDIS = "second-redis"
"""A server without a login; it has no disk, so it comes back empty."""


def second_redis() -> list[dict]:
    command = ["redis-server", "--save", "", "--protected-mode", "no", "--dir", "/data"]
    return redis_pods.servers(REDIS, 1, [redis_pods.container("redis", command, redis_pods.PORT)])


def pods_with_two_workers() -> dict:
    """Make a pod whose second container is named like the trigger, and needs only its image."""
    spec = pod_spec()
    (worker,) = spec["containers"]
    spec["containers"].append(worker | {"name": "second"})
    return spec


def of_two_redis(release, name: str) -> dict:
    redis = {"address": f"{REDIS}.{release.namespace}.svc:6379"}
    return task_queue(
        release,
        name,
        name,
        workloadRef=None,
        template={"metadata": {"labels": {"app": name}}, "spec": pods_with_two_workers()},
        triggers=[{"name": "second", "queues": [{"name": name}], "redis": redis}],
        scaling={"maxReplicas": 4, "pollPeriodSeconds": 1},
    )


async def test_two_redis_of_which_one_is_away_for_a_while(release, scene, watch, figure):
    name, kubectl = scene.name, scene.kubectl
    with redis_pods.running(kubectl, REDIS, *second_redis()):
        kubectl.apply(of_two_redis(release, name))
        await scene.until_looked_after()
        replicas = watch()
        with kubectl.port_forward(f"svc/{REDIS}", redis_pods.PORT) as port:
            settings = RedisSettings(address=f"redis://127.0.0.1:{port}")
            async with Client(settings) as client:
                naps = [await client.enqueue_job(name, "nap", seconds=3) for _ in range(2)]
                for nap in naps:
                    assert await client.wait_for_result(nap, 90) == 1
        await scene.until_told("ScaledUp")
        grown = [text for reason, text in kubectl.events(name) if reason == "ScaledUp"]
        assert any("trigger second: ceil(" in text for text in grown), grown
        assert any("(the others: main 0)" in text for text in grown), grown

        # The server is gone; the pods that served it may still hold its tasks.
        long = await scene.client.enqueue_job(name, "nap", seconds=15)
        await scene.until_running(long)
        kubectl("scale", f"statefulset/{REDIS}", "--replicas=0")
        await scene.until(
            "the trigger is blind",
            lambda: kubectl.condition(name, "RedisReachable").get("status") == "False",
        )
        blind_at = time.time()
        assert scene.replicas() >= 1
        enqueued_at = time.time()
        tasks = [await scene.client.enqueue_job(name, "nap", seconds=4) for _ in range(3)]
        grown_at = await asyncio.to_thread(replicas.wait_for, lambda number: number >= 3)
        figure(f"one Redis away: enqueue at the other -> PATCH: {grown_at - enqueued_at:.3f} s")
        for task in (long, *tasks):
            assert await scene.client.wait_for_result(task, 90) == 1
        await scene.until(
            "nothing is left to do",
            lambda: kubectl.condition(name, "Active").get("status") == "False",
        )
        status = kubectl.get("taskqueue", name)["status"]
        assert (status["triggersReachable"], status["decidedBy"]) == ("1/2", "second")
        wide = kubectl("get", "taskqueue", name, "-o", "wide")
        assert "1/2" in wide
        assert "no data from trigger second" in wide

        # The number falls only after Redis has come back.
        after, back_at = watch(), time.time()
        numbers = [number for at, number in replicas.changes if at > blind_at]
        assert numbers == sorted(numbers), "lowered while a Redis was away"
        kubectl("scale", f"statefulset/{REDIS}", "--replicas=1")
        zero_at = await asyncio.to_thread(
            after.wait_for, lambda number: number == 0, 120, raised=True
        )
        figure(f"the second Redis is back -> 0 replicas: {zero_at - back_at:.1f} s")
        await scene.until(
            "all is well", lambda: kubectl.condition(name, "Ready").get("status") == "True"
        )
        kubectl("delete", "taskqueue", name, "--timeout=60s")


def a_trigger(**changes: Any) -> dict[str, Any]:
    other = {"name": "other", "queues": [{"name": "q"}], "redis": {"address": "redis:6379"}}
    return {key: value for key, value in (other | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("triggers", "says"),
    [
        ([a_trigger(name="main")], RESERVED_NAME),
        ([a_trigger(name="Other")], "should match"),
        ([a_trigger(strategy={"type": "WaitTime"})], "type WaitTime needs waitTime"),
        ([a_trigger(redis={})], "exactly one of address, sentinel and cluster"),
        ([a_trigger(queues=[])], "queues"),
        ([a_trigger(), a_trigger()], "Duplicate value"),
        ([a_trigger(name=f"t{i}") for i in range(MOST_TRIGGERS + 1)], "Too many"),
    ],
)
def test_triggers_that_break_a_rule_are_refused(release, name, triggers, says):
    """The API server refuses them, by the rules in the CRD."""
    answer = release.kubectl.refused(task_queue(release, name, name, triggers=triggers))
    assert says in answer


def test_tasks_in_the_slots_of_another_worker_have_no_concurrency_of_their_own(release, name):
    shared = a_trigger(redis=None, concurrencyPerReplica=2)

    def body(*containers: str) -> dict[str, Any]:
        spec = pod_spec()
        (worker,) = spec["containers"]
        spec["containers"] = [worker | {"name": each} for each in containers]
        template = {"spec": spec}
        return task_queue(
            release, name, name, workloadRef=None, template=template, triggers=[shared]
        )

    assert SHARED_SLOTS in release.kubectl.refused(body("worker"))
    release.kubectl.apply(body("worker", "other"))
