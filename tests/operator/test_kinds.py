"""Workloads of other kinds: StatefulSets, kinds with a /scale, and what is no workload."""

import pytest

from identtqueue.admin import Admin
from identtqueue_operator.kube.parse import parse_selector
from identtqueue_operator.model import Selector
from testing.fleet import Fleet, PoolFleet, StatefulFleet, controlled_by
from testing.operating import Operator
from testing.waiting import eventually

STATEFUL_SET = {"kind": "StatefulSet"}
POOL = {"apiVersion": "example.com/v1", "kind": "WorkerPool"}


def use(setup, kind: type[Fleet]) -> None:
    """Let the test's fleet be of another kind."""
    old = setup.fleet
    setup.fleet = kind(setup.api, old.name, old.redis, setup.queue)


def create(setup, reference, scaling=None, **more) -> None:
    setup.create(scaling, workloadRef={"name": setup.name, **reference}, **more)


async def told_to_go(setup) -> set[str]:
    async with Admin(setup.address) as admin:
        return {info.pod_name for info in await admin.workers(setup.queue) if info.draining}


async def until_told(setup, *ordinals) -> None:
    names = {f"{setup.name}-{ordinal}" for ordinal in ordinals}

    async def look() -> bool:
        return await told_to_go(setup) == names

    await eventually(look, f"told to go: {names or 'nobody'}")


async def problem(setup, reason) -> str:
    """The message of WorkloadFound, once it is False for this reason."""
    await eventually(
        lambda: setup.condition("WorkloadFound") == ("False", reason),
        lambda: f"{reason}; {setup.status}",
    )
    assert setup.condition("Ready") == ("False", reason)
    return next(c["message"] for c in setup.status["conditions"] if c["type"] == "WorkloadFound")


# --- StatefulSets ---------------------------------------------------------------------------------


async def test_a_stateful_set_grows_from_zero(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(0)
    create(setup, STATEFUL_SET)
    await setup.enqueue(3)
    await setup.replicas(3)
    assert setup.api.writes(f"statefulsets/{setup.name}/scale")


async def test_of_a_stateful_set_the_highest_go_whatever_they_hold(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(3, parallel=True)
    await setup.fleet.settle()
    await setup.enqueue(1)
    last = setup.fleet.workers[f"{setup.name}-2"]
    assert await last.claim()
    create(setup, STATEFUL_SET)
    await until_told(setup, 1, 2)
    await operator.looks()
    assert setup.fleet.replicas == 3, "the highest one is busy"
    await last.finish()
    await setup.replicas(1)
    await setup.fleet.settle()
    await setup.replicas(0)


async def test_one_after_the_other_if_the_controller_waits_for_ready_pods(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(3)
    await setup.fleet.settle()
    create(setup, STATEFUL_SET, {"minReplicas": 1})
    await setup.replicas(2)
    await until_told(setup, 2)
    for _ in range(3):
        await operator.looks()
    assert await told_to_go(setup) == {f"{setup.name}-2"}, "not before that one is gone"
    assert setup.fleet.replicas == 2
    await setup.fleet.settle()
    await setup.replicas(1)
    await setup.fleet.settle()
    await until_told(setup)


async def test_pods_that_end_are_not_counted_although_the_stateful_set_counts_them(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(3, parallel=True)
    await setup.fleet.settle()
    ending = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    setup.api.change("pods", f"{setup.name}-2", ending)
    setup.api.change("statefulsets", setup.name, {"spec": {"replicas": 2}})
    generation = setup.api.get("statefulsets", setup.name)["metadata"]["generation"]
    status = {"replicas": 3, "observedGeneration": generation}
    setup.api.change("statefulsets", setup.name, {"status": status})
    create(setup, STATEFUL_SET, {"minReplicas": 1})
    await setup.replicas(1)


async def test_a_rollout_of_a_stateful_set_goes_first(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(2, parallel=True)
    await setup.fleet.settle()
    old = {"metadata": {"labels": {"controller-revision-hash": "r1"}}}
    for pod in setup.fleet.pods:
        setup.api.change("pods", pod["metadata"]["name"], old)
    setup.api.change("statefulsets", setup.name, {"status": {"updateRevision": "r2"}})
    create(setup, STATEFUL_SET, {"minReplicas": 1})
    await setup.reason("RollingOut")
    assert setup.fleet.replicas == 2
    partition = {"rollingUpdate": {"partition": 1}}
    setup.api.change("statefulsets", setup.name, {"spec": {"updateStrategy": partition}})
    setup.fleet.count()
    new = {"metadata": {"labels": {"controller-revision-hash": "r2"}}}
    setup.api.change("pods", f"{setup.name}-1", new)
    await setup.replicas(1)


async def test_foreign_pods_with_a_stateful_sets_labels_are_ignored(operator, setup):
    use(setup, StatefulFleet)
    setup.fleet.create(2, parallel=True)
    await setup.fleet.settle()
    metadata = {"labels": setup.fleet.labels}
    setup.api.put("pods", f"{setup.name}-7", {"metadata": metadata, "spec": {}})
    create(setup, STATEFUL_SET)
    await setup.replicas(0)


async def test_without_the_right_to_stateful_sets_it_is_said_what_to_do(operator, setup):
    setup.api.unreadable[f"statefulsets/{setup.name}"] = 403
    create(setup, STATEFUL_SET)
    assert "upgrade the chart" in await problem(setup, "WorkloadForbidden")


async def test_the_lost_right_to_list_stateful_sets_concerns_those_only_that_name_one(
    operator, setup
):
    setup.fleet.create(0)
    setup.create()
    api, fleet = setup.api, StatefulFleet(setup.api, "stateful", setup.fleet.redis, setup.queue)
    fleet.create(0)
    setup.create(name="stateful", workloadRef={"name": "stateful", **STATEFUL_SET})
    await setup.reason("Idle")
    api.unreadable = {"/statefulsets": 403}
    await operator.controller.rights.check("ns")

    def reason(name):
        return (api.get("taskqueues", name).get("status") or {}).get("reason")

    await eventually(lambda: reason("stateful") == "RightsMissing")
    await operator.looks()
    assert reason(setup.name) == "Idle"
    api.unreadable = {}
    await operator.controller.rights.check("ns")
    await eventually(lambda: reason("stateful") == "Idle")


# --- any kind with a /scale -----------------------------------------------------------------------


async def test_a_kind_of_its_own_is_scaled_by_its_scale(operator, setup):
    use(setup, PoolFleet)
    setup.fleet.create(0)
    setup.fleet.count()
    create(setup, POOL)
    await setup.enqueue(3)
    await setup.replicas(3)
    await setup.fleet.settle()
    assert setup.api.reads["/apis/example.com/v1"] == 1
    assert not setup.api.reads[f"/apis/example.com/v1/namespaces/ns/workerpools/{setup.name}"]


@pytest.mark.slow
async def test_where_any_pod_may_go_none_goes_while_one_is_busy(operator, setup):
    """Its controller would end the busy one."""
    use(setup, PoolFleet)
    setup.fleet.create(3)
    await setup.fleet.settle()
    await setup.enqueue(1)
    busy = setup.fleet.workers[f"{setup.name}-1"]
    assert await busy.claim()
    create(setup, POOL, {"minReplicas": 1})
    await eventually(
        lambda: setup.condition("ScalingLimited") == ("True", "RemovalOrderUnknown"),
        lambda: str(setup.status),
    )
    assert setup.fleet.replicas == 3
    assert not await told_to_go(setup)
    await busy.finish()
    await setup.replicas(1)
    await setup.fleet.settle()
    await until_told(setup)
    (left,) = setup.fleet.workers.values()
    (task,) = await setup.enqueue(1)
    assert await left.claim() == [task]


async def test_the_order_in_which_pods_go_can_be_said(operator, setup):
    use(setup, PoolFleet)
    setup.fleet.create(3)
    await setup.fleet.settle()
    await setup.enqueue(1)
    busy = setup.fleet.workers[f"{setup.name}-1"]
    assert await busy.claim()
    create(setup, {**POOL, "removalOrder": "NotReadyFirst"})
    await until_told(setup, 2, 3)
    assert await told_to_go(setup)
    await busy.finish()


class PoolOfDeployment(PoolFleet):
    """The pods of a kind that makes a Deployment and lets that do the work."""

    def make_owner(self, workload):
        spec = {
            "replicas": workload["spec"]["replicas"],
            "selector": {"matchLabels": self.labels},
            "template": {"metadata": {"labels": self.labels}},
        }
        body = {"metadata": {"ownerReferences": [controlled_by(workload)]}, "spec": spec}
        made = self.api.put("deployments", f"{self.name}-inner", body)
        return super(PoolFleet, self).make_owner(made)

    def count(self) -> None:
        super().count()
        self.api.change("deployments", f"{self.name}-inner", {"spec": {"replicas": self.replicas}})
        made = self.api.get("deployments", f"{self.name}-inner")
        counted = dict.fromkeys(("replicas", "updatedReplicas"), len(self.pods))
        status = {**counted, "observedGeneration": made["metadata"]["generation"]}
        self.api.change("deployments", f"{self.name}-inner", {"status": status})


async def test_a_kind_that_makes_a_deployment_is_drained_like_one(operator, setup):
    use(setup, PoolOfDeployment)
    setup.fleet.create(3)
    await setup.fleet.settle()
    await setup.enqueue(1)
    busy = setup.fleet.workers[f"{setup.name}-1"]
    assert await busy.claim()
    create(setup, POOL)
    await setup.replicas(1)
    await busy.finish()


@pytest.mark.parametrize(
    ("reference", "reason", "advice"),
    [
        ({"apiVersion": "absent.io/v1", "kind": "Pool"}, "WorkloadKindUnknown", "installed"),
        ({"apiVersion": "example.com/v1", "kind": "Pool"}, "WorkloadKindUnknown", "no kind Pool"),
        ({"apiVersion": "example.com/v1", "kind": "Heap"}, "WorkloadNotScalable", "subresources"),
        ({"apiVersion": "v1", "kind": "Pod"}, "WorkloadNotScalable", "has no /scale"),
        (POOL, "WorkloadMissing", "does not exist"),
    ],
)
async def test_what_can_not_be_scaled_is_told_with_what_to_do(
    operator, setup, reference, reason, advice
):
    create(setup, reference)
    assert advice in await problem(setup, reason)
    assert operator.failed_rounds == 0


@pytest.mark.slow
async def test_a_kind_that_is_removed_and_installed_again_is_told_and_found(operator, setup):
    use(setup, PoolFleet)
    setup.fleet.create(0)
    create(setup, POOL, {"pollPeriodSeconds": 1})
    await eventually(lambda: setup.condition("WorkloadFound") == ("True", "Found"))
    setup.api.unknown_groups.add("example.com/v1")
    await problem(setup, "WorkloadKindUnknown")
    setup.api.unknown_groups.clear()
    await setup.enqueue(1)
    await setup.replicas(1)


@pytest.mark.slow
async def test_without_the_right_to_read_a_scale_the_rule_is_named(operator, setup):
    use(setup, PoolFleet)
    setup.fleet.create(1)
    setup.api.unreadable[f"workerpools/{setup.name}/scale"] = 403
    create(setup, POOL)
    told = await problem(setup, "WorkloadForbidden")
    assert (
        "{apiGroup: 'example.com', resource: workerpools} to the chart's rbac.scaleTargets" in told
    )
    del setup.api.unreadable[f"workerpools/{setup.name}/scale"]
    await eventually(lambda: setup.condition("WorkloadFound") == ("True", "Found"))


async def test_without_the_right_to_write_a_scale_the_rule_is_named(operator, setup):
    use(setup, PoolFleet)
    setup.fleet.create(0)
    setup.api.forbidden = "/scale"
    create(setup, POOL)
    await setup.enqueue(1)
    await setup.reason("ActionFailed")
    assert "rbac.scaleTargets" in setup.status["message"]


# --- the operator itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reference"),
    [(StatefulFleet, STATEFUL_SET), (PoolFleet, POOL), (PoolOfDeployment, POOL), (Fleet, {})],
)
async def test_the_operator_never_scales_itself_whatever_its_kind(
    api, kube, setup, kind, reference
):
    use(setup, kind)
    setup.fleet.create(1)
    pod = setup.fleet.put_pod("operator")
    setup.fleet.count()
    operator = Operator(api, kube)
    await operator.start()
    try:
        create(setup, reference)
        await setup.enqueue(5)
        await setup.reason("WorkloadIsOperator")
        assert setup.fleet.replicas == 1
        assert pod["metadata"]["name"] == operator.settings.identity
    finally:
        await operator.stop()


async def test_until_its_pod_is_seen_the_operator_knows_itself_by_its_name(operator, setup):
    setup.api.put("statefulsets", "operator", {"spec": {"replicas": 2}})
    create(setup, {"kind": "StatefulSet", "name": "operator"})
    await setup.enqueue(5)
    await setup.reason("WorkloadIsOperator")


# --- selectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("", Selector()),
        ("app=a", Selector((("app", "a"),))),
        ("b==c, app=a", Selector((("app", "a"), ("b", "c")))),
        ("x.io/tier in (a, b)", Selector((), (("x.io/tier", "In", ("a", "b")),))),
        (
            "tier notin (a),!gone",
            Selector((), (("tier", "NotIn", ("a",)), ("gone", "DoesNotExist", ()))),
        ),
        ("here,tier!=a", Selector((), (("here", "Exists", ()), ("tier", "NotIn", ("a",))))),
    ],
)
def test_a_selector_in_words(text, selector):
    assert parse_selector(text) == selector


@pytest.mark.parametrize("text", ["a=b=c", "in (a)x", "(a)", "!a=b", "a in b", "n>1"])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match="no label selector"):
        parse_selector(text)
