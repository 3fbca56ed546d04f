"""Whether anybody works: each reason why not, what follows from it, and that it passes."""

from dataclasses import replace

import pytest

from identtqueue_operator.kube.parse import pod as view_of_pod
from identtqueue_operator.model import Container, Depth, Memory, Startup, WorkerTrouble
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.policy.health import (
    MISSING_SECONDS,
    NOT_READY_SECONDS,
    examine,
)
from identtqueue_operator.status.headline import NOBODY_WORKS_SECONDS
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from identtqueue_operator.timings import DEFAULTS
from testing.taskqueues import WORKLOAD, deployment, observed, pod, spec, with_trigger, worker
from testing.wording import messages, miscounted, repeated

AT = 10_000.0
QUICK = {"maxReplicas": 20, "concurrencyPerReplica": 1} | {
    "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}
}


def fleet(*pods, workers=(), replicas=None, depth=None, **more):
    number = len(pods) if replicas is None else replicas
    status = replace(deployment(number, existing=len(pods)), **more)
    return observed(
        at=AT,
        depth=depth or Depth(queued=40),
        workload=status,
        pods=pods,
        workers=workers,
        queues=("mrz",),
    )


def failing(name, **state):
    container = Container("worker", running=False, **state)
    return pod(name, ready=False, created_at=AT - 30, containers=(container,))


def usual(startup_seconds):
    return Memory(startup=Startup(AT, startup_seconds))


CRASH = {"waiting": "CrashLoopBackOff", "ended_at": AT - 5, "restarts": 3}
OOM = CRASH | {"how": "OOMKilled, exit code 137"}
IMAGE = {"waiting": "ImagePullBackOff"}
CONFIG = {"waiting": "CreateContainerConfigError"}
READY = {"ready_since": AT - DEFAULTS.register_seconds - 1}


def unschedulable(name):
    waits = pod(name, ready=False, phase="Pending", assigned=False, containers=())
    return replace(waits, created_at=AT - 90, unschedulable="0/3 nodes are available")


def crashes_between_whiles(name):
    """Its process runs just now: for a few seconds, as before."""
    state = Container("worker", running=True, restarts=4, started_at=AT - 3, how="Error")
    return pod(name, containers=(state,), ready_since=AT - 3)


CASES = {
    "CrashLoop": fleet(failing("a", **CRASH), failing("b", **CRASH)),
    "CrashLoop, running just now": fleet(crashes_between_whiles("a")),
    "OutOfMemory": fleet(failing("a", **OOM)),
    "OutOfMemory, not started anew": fleet(failing("a", ended_at=AT - 60, how="OOMKilled")),
    "ImagePullFailed": fleet(failing("a", **IMAGE)),
    "ContainerNotCreated": fleet(failing("a", **CONFIG)),
    "PodsUnschedulable": fleet(unschedulable("a")),
    "NotReady": fleet(pod("a", ready=False, created_at=AT - NOT_READY_SECONDS - 1)),
    "NotReady, a volume is missing": fleet(
        pod("a", ready=False, phase="Pending", created_at=AT - 900, containers=())
    ),
    "NoWorkerRegistered": fleet(pod("a", **READY)),
    "QuotaExceeded": fleet(replicas=2, refusal='pods "x" is forbidden: exceeded quota: small'),
    "PodSecurityViolated": fleet(
        replicas=2, refusal='pods "x" is forbidden: violates PodSecurity "restricted:latest"'
    ),
    "PodsRefused": fleet(replicas=2, refusal="admission webhook said no"),
    "RolloutStuck": fleet(pod("a", ready=False, created_at=AT - 5), stuck="has timed out"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_found(case):
    found = examine(CASES[case], Memory())
    assert found.reason == case.partition(",")[0]
    assert found.trouble
    assert found.working == 0


def test_every_trouble_has_a_case():
    by_time = {"QueueNotServed", "PodsMissing"}
    assert {case.partition(",")[0] for case in CASES} | by_time == set(WorkerTrouble)


@pytest.mark.parametrize("case", CASES)
def test_when_nobody_works_it_is_told_once_and_after_a_while_it_is_not_ready(case):
    seen, status, memory, events = CASES[case], {}, Memory(), []
    for second in range(0, int(NOBODY_WORKS_SECONDS) + 600, 5):
        now = replace(seen, at=AT + second)
        decision, memory = decide(spec(QUICK), now, memory)
        told = render_status(Round(now.at, 1, WORKLOAD, seen=now, decision=decision), status)
        status = told.status
        assert not [text for text in messages(status) if repeated(text) or miscounted(text)]
        events += [event.reason for event in told.events if event.type == "Warning"]
    reason = decision.health.reason  # what hinders a pod later on may be something else
    conditions = {each["type"]: each for each in status["conditions"]}
    assert conditions["WorkersReady"]["status"] == "False"
    assert conditions["WorkersReady"]["reason"] == reason
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", reason)
    assert status["reason"] == reason
    assert events.count(reason) == 1
    assert decision.next_look_seconds is not None


@pytest.mark.parametrize("case", ["CrashLoop", "OutOfMemory", "ImagePullFailed", "QuotaExceeded"])
def test_where_more_pods_would_not_help_there_are_no_more(case):
    decision, _ = decide(spec(QUICK), CASES[case], Memory())
    assert decision.target.replicas == decision.current
    assert "WorkersFailing" in decision.target.limited_by


@pytest.mark.parametrize("case", ["PodsUnschedulable", "NotReady"])
def test_pods_that_wait_for_a_node_do_not_keep_others_from_being_asked_for(case):
    """A cluster that grows by itself grows by them."""
    decision, _ = decide(spec(QUICK), CASES[case], Memory())
    assert decision.target.replicas == 20


def test_one_that_works_is_reason_enough_to_grow_and_to_be_ready():
    works = pod("a", **READY)
    seen = fleet(works, failing("b", **CRASH), workers=(worker(works),))
    decision, memory = decide(spec(QUICK), seen, Memory())
    assert (decision.health.reason, decision.health.working) == ("CrashLoop", 1)
    assert decision.target.replicas == 20
    told = render_status(Round(AT, 1, WORKLOAD, seen=seen, decision=decision), {})
    later = replace(seen, at=AT + 900)
    decision, _ = decide(spec(QUICK), later, memory)
    told = render_status(Round(later.at, 1, WORKLOAD, seen=later, decision=decision), told.status)
    conditions = {each["type"]: each["status"] for each in told.status["conditions"]}
    assert (conditions["Ready"], conditions["WorkersReady"]) == ("True", "False")


def test_it_passes_by_itself():
    fails = CASES["CrashLoop"]
    decision, memory = decide(spec(QUICK), fails, Memory())
    told = render_status(Round(AT, 1, WORKLOAD, seen=fails, decision=decision), {})
    pods = tuple(pod(name, **READY) for name in "ab")
    well = fleet(*pods, workers=tuple(worker(each) for each in pods))
    decision, _ = decide(spec(QUICK), well, memory)
    assert decision.target.replicas == 20
    told = render_status(Round(AT, 1, WORKLOAD, seen=well, decision=decision), told.status)
    conditions = {
        each["type"]: (each["status"], each["reason"]) for each in told.status["conditions"]
    }
    assert conditions["WorkersReady"] == ("True", "AllWork")
    assert conditions["Ready"][0] == "True"


def test_starting_is_no_trouble():
    starting = fleet(pod("a", ready=False, created_at=AT - 10), replicas=2)
    assert (examine(starting, Memory()).reason, examine(starting, Memory()).trouble) == (
        "Starting",
        False,
    )
    slow = fleet(pod("a", ready=False, created_at=AT - 300))
    assert examine(slow, usual(200.0)).reason == "Starting"
    assert examine(slow, usual(20.0)).reason == "NotReady"
    just_ready = fleet(pod("a", ready_since=AT - 5))
    assert examine(just_ready, Memory()).reason == "Starting"


def test_registrations_that_redis_lost_have_a_lease_of_time_to_come_back():
    there = pod("a", **READY)
    seen = fleet(there, workers=(worker(there),))
    _, memory = decide(spec(QUICK), seen, Memory())
    for second, reason in ((1, "Starting"), (30, "Starting"), (61, "NoWorkerRegistered")):
        lost = replace(seen, at=AT + second, workers=())
        assert examine(lost, memory).reason == reason


def test_zero_replicas_are_as_they_should_be():
    assert examine(fleet(), Memory()).well


def test_a_worker_that_drains_works_although_it_is_not_ready():
    drains = pod("a", ready=False, created_at=AT - 900)
    seen = fleet(drains, workers=(worker(drains, draining_in=("mrz",)),))
    assert examine(seen, Memory()).reason == "AllWork"


def test_a_queue_that_nobody_serves_is_told():
    settled = pod("a", **READY)
    seen = with_trigger(fleet(settled, workers=(worker(settled),)), queues=("mrz", "ocr"))
    found = examine(seen, Memory())
    assert (found.reason, found.hopeless, found.strange) == ("QueueNotServed", False, False)
    assert "ocr" in found.message
    young = replace(settled, ready_since=AT - 1)
    seen = with_trigger(fleet(young, workers=(worker(young),)), queues=("mrz", "ocr"))
    assert examine(seen, Memory()).reason == "AllWork"


# --- a Deployment that is something else ---


@pytest.mark.parametrize("depth", [Depth(), Depth(queued=40)])
def test_pods_that_never_register_are_left_alone(depth):
    seen = fleet(*(pod(name, **READY) for name in "abc"), depth=depth)
    decision, _ = decide(spec(QUICK), seen, Memory(strange=True))
    assert decision.target.replicas == decision.current == 3
    assert decision.scale_to is None
    assert decision.target.reason == "NoWorkerRegistered"


def test_some_that_do_not_register_are_told_and_the_others_are_scaled():
    works = pod("a", **READY)
    seen = fleet(works, pod("b", **READY), workers=(worker(works),))
    decision, _ = decide(spec(QUICK), seen, Memory())
    assert (decision.health.reason, decision.health.strange) == ("NoWorkerRegistered", False)
    assert decision.target.replicas == 20


def test_before_the_first_worker_registers_nothing_is_lowered():
    """Also pods that are not ready, as a web service's for a while after a node was lost."""
    seen = fleet(pod("a", ready=False, created_at=AT - 5), depth=Depth())
    memory = Memory(strange=True, active_at=0.0)
    decision, memory = decide(spec(QUICK), seen, memory)
    assert decision.scale_to is None
    assert decision.target.limited_by == ("NoWorkerRegistered",)
    registered = replace(seen, workers=(worker(seen.pods[0], draining_in=("mrz",)),))
    decision, memory = decide(spec(QUICK), registered, memory)
    assert decision.scale_to == 0
    assert not memory.strange
    assert not Memory(strange=True).scaled(AT, 0, 1).strange, "the operator asked for them itself"


# --- how the API server says it ---


def test_a_pod_is_read_with_all_that_keeps_it_from_working():
    body = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {},
        "status": {
            "phase": "Pending",
            "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
            ],
            "initContainerStatuses": [
                {"name": "fetch", "state": {"waiting": {"reason": "ErrImagePull"}}}
            ],
            "containerStatuses": [
                {
                    "name": "worker",
                    "restartCount": 4,
                    "state": {"waiting": {"reason": "PodInitializing"}},
                }
            ],
        },
    }
    found = view_of_pod(body)
    assert found.unschedulable == "0/3 nodes are available"
    assert found.hindrance == ("ErrImagePull", "init container fetch")
    assert (found.containers[0].waiting, found.containers[0].restarts) == ("PodInitializing", 4)
    assert examine(fleet(found), Memory()).reason == "ImagePullFailed"


def test_pods_that_nobody_makes_are_told_after_a_while():
    """A StatefulSet has no condition that says why."""
    ready = pod("p0", **READY)
    seen = fleet(ready, workers=(worker(ready),), replicas=3)
    _, memory = decide(spec(QUICK), seen, Memory())
    assert examine(seen, memory).reason == "Starting"
    later = replace(seen, at=AT + MISSING_SECONDS)
    assert examine(later, memory).reason == "PodsMissing"
    more = replace(later, pods=(ready, pod("p1", ready=False, created_at=AT + 50)))
    _, memory = decide(spec(QUICK), more, memory)
    assert examine(more, memory).reason == "Starting", "one has come"


def test_that_no_pod_belongs_to_the_workload_is_told():
    other = pod("p0", foreign=True)
    seen = fleet(other, replicas=1, existing=1)
    _, memory = decide(spec(QUICK), seen, Memory())
    found = examine(replace(seen, at=AT + MISSING_SECONDS), memory)
    assert (found.reason, found.trouble) == ("PodsMissing", True)
    assert "ownerReferences" in found.message
