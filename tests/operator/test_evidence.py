"""Evidence of the death of a worker, row by row of the table in the module."""

from dataclasses import replace

from identtqueue_operator.model import Container, Source
from identtqueue_operator.policy.evidence import find_dead
from testing.taskqueues import observed, pod, worker

ENDED = Container("worker", running=False, ended_at=995.0, how="OOMKilled, exit code 137")
RESTARTED = Container("worker", running=True, ended_at=995.0, how="Error, exit code 1")


def verdict(a_pod, a_worker, **more):
    evidence = find_dead(observed(1, pods=(a_pod,), workers=(a_worker,), **more), 15)
    if evidence.deaths:
        return evidence.deaths[0].cause
    return "suspect" if evidence.suspects else "lease"


def test_a_running_worker_is_left_alone():
    a_pod = pod("p")
    assert verdict(a_pod, worker(a_pod)) == "lease"


def test_a_cut_connection_alone_proves_nothing():
    a_pod = pod("p")
    assert verdict(a_pod, worker(a_pod, connected=False)) == "lease"


def test_a_restarted_container_and_a_closed_connection():
    a_pod = pod("p", containers=(RESTARTED,))
    dead = worker(a_pod, registered_at=900.0)
    assert verdict(a_pod, dead) == "suspect"  # the report was quicker than the close
    cause = verdict(a_pod, replace(dead, connected=False))
    assert cause == "container ended (worker: Error, exit code 1)"


def test_the_next_incarnation_in_the_same_pod_lives():
    a_pod = pod("p", containers=(RESTARTED,))
    assert verdict(a_pod, worker(a_pod, registered_at=997.0)) == "lease"
    assert verdict(a_pod, worker(a_pod, registered_at=997.0, connected=False)) == "lease"


def test_a_time_with_a_fraction_is_exact():
    """Whole seconds are rounded down, so another incarnation may be as old as the end."""
    exact = pod("p", containers=(replace(RESTARTED, ended_at=995.25),))
    assert verdict(exact, worker(exact, registered_at=995.5, connected=False)) == "lease"
    assert verdict(exact, worker(exact, registered_at=995.0, connected=False)).startswith("cont")
    whole = pod("p", containers=(RESTARTED,))
    assert verdict(whole, worker(whole, registered_at=995.5, connected=False)).startswith("cont")


def test_a_container_that_waits_to_be_restarted():
    a_pod = pod("p", containers=(ENDED,))
    assert verdict(a_pod, worker(a_pod, registered_at=900.0, connected=False)).startswith(
        "container ended (worker: OOMKilled"
    )


def test_another_container_of_the_pod_ended():
    sidecar = replace(ENDED, name="sidecar")
    a_pod = pod("p", containers=(sidecar, Container("worker", running=True)))
    assert verdict(a_pod, worker(a_pod, registered_at=900.0, connected=False)) == "lease"


def test_a_pod_that_failed_with_its_containers_reported():
    a_pod = pod("p", phase="Failed", containers=(ENDED,))
    assert verdict(a_pod, worker(a_pod)).startswith("pod ended")


def test_a_pod_that_is_called_failed_without_a_report():
    # The pod garbage collector says so of pods on nodes that are out of service.
    a_pod = pod("p", phase="Failed")
    assert verdict(a_pod, worker(a_pod, connected=False)) == "lease"


def test_a_pod_that_is_deleted_and_reported():
    a_pod = pod("p", deleting=True, containers=(ENDED,))
    assert verdict(a_pod, worker(a_pod)).startswith("pod deleted")
    assert verdict(replace(a_pod, gone_at=999.0), worker(a_pod)).startswith("pod deleted")


def test_a_pod_that_is_terminating_on_a_silent_node():
    a_pod = pod("p", deleting=True)
    assert verdict(a_pod, worker(a_pod, connected=False)) == "lease"


def test_a_pod_that_vanished_without_a_report():
    a_pod = pod("p", gone_at=998.0)
    assert verdict(a_pod, worker(a_pod)) == "lease"  # it may well run on
    closed = worker(a_pod, connected=False)
    assert verdict(a_pod, closed) == "pod gone and connection closed"
    assert verdict(replace(a_pod, gone_at=999.5), closed) == "suspect"


def test_a_closed_connection_means_nothing_after_redis_was_away():
    a_pod = pod("p", gone_at=990.0)
    away = Source(trusted_seconds=14.9)
    assert verdict(a_pod, worker(a_pod, connected=False), source=away) == "lease"


def test_a_worker_without_the_downward_api_is_found_by_its_host_name():
    a_pod = pod("p", phase="Failed", containers=(ENDED,))
    unaware = replace(worker(a_pod), pod_uid=None, container=None)
    assert verdict(a_pod, unaware).startswith("pod ended")


def test_of_a_worker_without_a_container_name_all_containers_must_have_ended():
    """A sidecar that restarted once, long ago, must not make every cut connection a death."""
    sidecar = replace(RESTARTED, name="sidecar")
    a_pod = pod("p", containers=(sidecar, Container("worker", running=True)))
    unaware = worker(a_pod, container=None, registered_at=900.0, connected=False)
    assert verdict(a_pod, unaware) == "lease"
    both = replace(a_pod, containers=(sidecar, RESTARTED))
    assert verdict(both, unaware).startswith("container ended (sidecar: Error")
    ended = replace(a_pod, phase="Failed", containers=(replace(sidecar, running=False), ENDED))
    assert verdict(ended, unaware).startswith("pod ended")


def test_a_deleted_pod_whose_container_was_restarted_before_the_report():
    """The status still says that it waits to be restarted; the new incarnation already works."""
    a_pod = pod("p", deleting=True, containers=(replace(ENDED, how="Error, exit code 1"),))
    assert verdict(a_pod, worker(a_pod, registered_at=997.0)) == "lease"
    assert verdict(a_pod, worker(a_pod, registered_at=900.0)).startswith("pod deleted")


def test_leases_are_acted_on_only_when_redis_was_there_for_one():
    a_pod = pod("p")
    late = worker(a_pod, lease_left_seconds=-0.1)
    for trusted, expired in ((14.9, False), (15.0, True)):
        seen = observed(1, workers=(late,), source=Source(trusted_seconds=trusted))
        assert bool(find_dead(seen, 15).leases_expired) is expired
