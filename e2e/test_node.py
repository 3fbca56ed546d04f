"""A node falls silent. Its pods may run on, so their tasks move by evidence or by the lease."""

from __future__ import annotations

import asyncio
import time

import pytest

from testing.cluster.cluster import cut_off, node_is_ready, silent_kubelet
from testing.cluster.workload import deployment, task_queue


@pytest.mark.alone
@pytest.mark.timeout(420, func_only=True)
async def test_silent_node(release, scene, figure):
    """The kubelet stops, and one of the two pods loses its network as well.

    The pod that still reaches Redis keeps its task to the end, although the node is NotReady. The
    other pod works on without Redis, so its lease expires and another worker begins the task again.
    When the network returns during that second run, the report of the first one is refused.
    """
    name, node = scene.name, release.other_node
    scaling = {"minReplicas": 2, "maxReplicas": 2, "concurrencyPerReplica": 1}
    spare = deployment(release, f"{name}-spare", name, node=release.system_node)
    scene.kubectl.apply(
        deployment(release, name, name, replicas=2, node=node),
        task_queue(release, name, name, scaling=scaling),
        spare,
    )
    await scene.until("both workers ready", lambda: len(scene.ready()) == 2, 120)
    lasting = await scene.client.enqueue_job(name, "nap", seconds=74)
    lost = await scene.client.enqueue_job(name, "stubborn", first=34, then=30)
    _, first = await asyncio.gather(scene.until_running(lasting), scene.until_running(lost))
    alive, zombie = await scene.pod_of(lasting), await scene.pod_of(lost)
    assert alive["metadata"]["uid"] != zombie["metadata"]["uid"]
    scene.kubectl("scale", f"deployment/{name}-spare", "--replicas=1")
    scene.kubectl("rollout", "status", f"deployment/{name}-spare", "--timeout=60s")
    owner = (await scene.client.get_task(lost)).owner

    try:
        with silent_kubelet(node):
            silent_at = time.time()
            with cut_off(node, zombie["status"]["podIP"]):
                again = await scene.until_running(lost, attempt=2, seconds=60)
                figure(
                    "pod cut off on a node whose kubelet is silent -> task running again: "
                    f"{again.started_at_ms / 1000 - silent_at:.2f} s"
                )
                assert again.started_at_ms / 1000 - silent_at < 20
                # No probe reaches the zombie; its job is to end while it is cut off.
                ends_at = first.started_at_ms / 1000 + 34
                await asyncio.sleep(max(0.0, ends_at + 1 - time.time()))

            async def zombie_is_back() -> bool:
                found = await scene.admin.workers(name)
                uid = zombie["metadata"]["uid"]
                return any(w.pod_uid == uid and w.worker_id != owner for w in found)

            await scene.until_async("the zombie starts over as another incarnation", zombie_is_back)
            assert (await scene.client.get_task(lost)).attempt == 2
            assert await scene.client.wait_for_result(lost, 60) == 2, (
                "the zombie's late 1 is refused"
            )
            await scene.until("NotReady", lambda: not node_is_ready(node), 120)
            figure(f"kubelet stopped -> node NotReady: {time.time() - silent_at:.0f} s")
            held = await scene.client.get_task(lasting)
            assert (held.attempt, held.losses) == (1, 0), "nobody took it from a living worker"
            assert await scene.client.wait_for_result(lasting, 90) == 1
        counters = (await scene.admin.depths([name]))[name].counters
        assert (counters["succeeded"], counters["recovered"]) == (2, 1)
    finally:
        scene.kubectl("delete", "deployment", f"{name}-spare", "--ignore-not-found")
