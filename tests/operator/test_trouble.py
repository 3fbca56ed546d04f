"""Troubles are told, nothing is lowered, and it goes on by itself when they are over."""

import asyncio
import base64
import logging
import secrets
import time
from pathlib import Path

import pytest

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.protocol import roles
from identtqueue.protocol.roles import Role
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from identtqueue_operator.rounds import reconciler as reconciler_module
from identtqueue_operator.timings import Timings
from testing.fleet import Fleet
from testing.operating import Setup
from testing.redis_server import free_port
from testing.tls import Certificates
from testing.waiting import eventually


def secret(**data):
    return {"data": {key: base64.b64encode(v.encode()).decode() for key, v in data.items()}}


@pytest.fixture
def locked_redis(new_redis_server):
    server = new_redis_server()
    with server.client() as client:
        client.config_set("requirepass", "sesame")
    return server


@pytest.fixture
def server(new_redis_server):
    """One that can be stopped, and keeps what it has."""
    return new_redis_server(aof=True)


@pytest.fixture
async def apart(api, queue, server):
    """A TaskQueue, its Deployment and its queue in that server."""
    calls = async_redis(
        RedisSettings(address=server.address), client_name="tests", retry_for_seconds=10
    )
    fleet = Fleet(api, f"worker-{secrets.token_hex(3)}", calls, queue)
    async with Client(server.address) as client:
        yield Setup(api, fleet, client, queue, server.address)
    await fleet.close()
    await calls.close()


async def one_drains(setup, **spec):
    """Two busy workers, of which one is to go; the name of its pod."""
    setup.fleet.create(2)
    await setup.fleet.settle()
    await setup.enqueue(2)
    for worker in setup.fleet.workers.values():
        await worker.claim()
    setup.create({"maxReplicas": 1, "pollPeriodSeconds": 1}, **spec)
    await setup.reason("Draining")
    (chosen,) = await eventually(lambda: [p for p in setup.fleet.pods if annotations(p)])
    return chosen["metadata"]["name"]


def annotations(pod):
    return pod["metadata"].get("annotations") or {}


CREDENTIALS = {"credentialsSecretRef": {"name": "redis"}}


async def test_a_missing_deployment(operator, setup):
    await setup.enqueue(2)
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("WorkloadMissing")
    assert setup.condition("Ready") == ("False", "WorkloadMissing")
    assert setup.condition("WorkloadFound") == ("False", "WorkloadMissing")
    setup.fleet.create()
    await setup.replicas(2)
    await eventually(lambda: setup.condition("Ready")[0] == "True")
    assert setup.events("WorkloadMissing") == [f"Deployment {setup.name} does not exist"]


@pytest.mark.parametrize("timings", [Timings(secrets_reread_seconds=0.1)])
async def test_a_missing_secret_and_then_a_wrong_and_the_right_password(
    operator, setup, locked_redis
):
    setup.fleet.create(3)
    setup.address = locked_redis.address
    setup.create({"pollPeriodSeconds": 1}, redis={"address": setup.address, **CREDENTIALS})
    await setup.reason("SecretMissing")
    assert "Secret redis does not exist" in await setup.told("SecretMissing")
    setup.api.put("secrets", "redis", secret(other="x"))
    await eventually(lambda: "has no key password" in setup.status["conditions"][1]["message"])
    setup.api.change("secrets", "redis", secret(password="wrong-guess"))
    await setup.reason("RedisAuthFailed")
    assert setup.fleet.replicas == 3
    setup.api.change("secrets", "redis", secret(password="sesame"))
    await setup.told("RedisRecovered")
    await eventually(lambda: setup.condition("Ready")[0] == "True")
    everything = str(setup.api.objects) + str(setup.api.requests)
    assert "wrong-guess" not in everything
    assert "sesame" not in everything


@pytest.mark.slow
async def test_an_acl_that_forbids_the_doorbell(operator, setup, new_redis_server):
    """Polling alone would work, more slowly: so it must be told."""
    server = new_redis_server()
    rules = roles.rules(Role.OPERATOR)
    with server.client() as raw:
        deaf = [rule for rule in rules if not rule.startswith("&")]
        raw.execute_command("ACL", "SETUSER", "op", "on", ">sesame", *deaf)
        setup.api.put("secrets", "redis", secret(password="sesame", user="op"))
        login = {"credentialsSecretRef": {"name": "redis", "usernameKey": "user"}}
        setup.fleet.create(3)
        setup.create({"pollPeriodSeconds": 1}, redis={"address": server.address, **login})
        await setup.reason("RedisAuthFailed")
        assert "channel" in setup.status["conditions"][1]["message"]
        raw.execute_command("ACL", "SETUSER", "op", *rules)
    await setup.told("RedisRecovered")
    await eventually(lambda: setup.condition("Ready")[0] == "True")


@pytest.mark.slow
@pytest.mark.parametrize("timings", [Timings(secrets_reread_seconds=0.1)])
async def test_tls_with_a_client_certificate_that_is_replaced(
    operator, setup, new_redis_server, tmp_path
):
    certificates, port = Certificates(tmp_path), free_port()
    new_redis_server(options=certificates.server_options(port))

    def holding(**files):
        return secret(**{key: Path(file).read_text() for key, file in files.items()})

    def pair(files):
        return holding(**{"tls.crt": files[0], "tls.key": files[1]})

    setup.api.put("secrets", "ca", holding(**{"ca.crt": certificates.other_ca}))
    setup.api.put("secrets", "client", pair(certificates.expired_client))
    tls = {"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "client"}}
    setup.fleet.create(3)
    setup.create({"pollPeriodSeconds": 1}, redis={"address": f"localhost:{port}", "tls": tls})
    await setup.reason("RedisTlsFailed")
    assert "check tls_ca_file" in setup.status["conditions"][1]["message"]
    setup.api.change("secrets", "ca", holding(**{"ca.crt": certificates.ca}))
    await eventually(lambda: "has expired" in setup.status["conditions"][1]["message"])
    assert setup.fleet.replicas == 3
    setup.api.change("secrets", "client", pair(certificates.client))
    await setup.told("RedisRecovered")
    await eventually(lambda: setup.condition("Ready")[0] == "True")
    assert "PRIVATE KEY" not in str(setup.api.get("taskqueues", setup.name))


async def test_redis_goes_away_and_comes_back(operator, setup, new_redis_server):
    server = new_redis_server()
    setup.address = server.address
    setup.fleet.create(4)
    setup.create({"minReplicas": 4, "pollPeriodSeconds": 1})
    await eventually(lambda: setup.condition("RedisReachable") == ("True", "Reachable"))
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"minReplicas": 0}}})
    server.stop()
    await setup.reason("RedisUnreachable")
    replicas = setup.fleet.replicas  # it may have begun to shrink before
    server.start()
    await setup.told("RedisRecovered")
    assert len(setup.events("RedisUnreachable")) == 1
    assert replicas > 0
    await eventually(lambda: setup.condition("Ready")[0] == "True")


async def test_redis_is_away_from_the_start(operator, setup, new_redis_server):
    server = new_redis_server()
    server.stop()
    setup.address = server.address
    setup.fleet.create(2)
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("RedisUnreachable")
    assert setup.condition("Active") == ("Unknown", "NotObserved")
    assert setup.fleet.replicas == 2
    server.start()
    await setup.told("RedisRecovered")


async def test_on_source_error_raises_to_a_fixed_number(operator, setup, new_redis_server):
    server = new_redis_server()
    server.stop()
    setup.address = server.address
    setup.fleet.create(1)
    policy = {"policy": "Fixed", "replicas": 3, "afterFailures": 1}
    setup.create({"pollPeriodSeconds": 1, "onSourceError": policy})
    await setup.replicas(3)


BAD_SCHEDULE = {"name": "s", "start": "0 25 * * *", "durationSeconds": 60, "minReplicas": 1}


@pytest.mark.parametrize(
    "spec",
    [
        {"queues": [{"name": "Not Valid"}]},
        {"template": {"spec": {}}},
        {"scaling": {"schedules": [BAD_SCHEDULE]}},
        {"redis": {"address": "redis:99999"}},
    ],
)
async def test_a_spec_that_should_not_have_got_in(operator, setup, spec):
    setup.fleet.create()
    setup.create(**spec)
    await setup.reason("InvalidSpec")
    assert setup.condition("Ready") == ("False", "InvalidSpec")
    words = ("spec", "exactly one", "Bad hour", "can't be read")
    assert any(word in setup.status["message"] for word in words)
    good = {
        "queues": [{"name": setup.queue}],
        "template": None,
        "scaling": {"schedules": None},
        "redis": {"address": setup.address},
    }
    setup.api.change("taskqueues", setup.name, {"spec": good})
    await setup.reason("Idle")


async def test_another_autoscaler_means_hands_off(operator, setup):
    setup.fleet.create()
    target = {"scaleTargetRef": {"kind": "Deployment", "name": setup.name}}
    setup.api.put("horizontalpodautoscalers", "theirs", {"spec": target})
    await setup.enqueue(5)
    setup.create()  # which is reason enough to look who else scales
    await setup.reason("Conflicting")
    assert setup.condition("Conflicting") == ("True", "AnotherScaler")
    assert "HorizontalPodAutoscaler theirs" in await setup.told("ConflictingAutoscaler")
    assert setup.fleet.replicas == 0
    setup.api.remove("horizontalpodautoscalers", "theirs")
    await setup.replicas(5)


HPAS = "/horizontalpodautoscalers"


def lists_of_autoscalers(setup) -> int:
    return sum(count for path, count in setup.api.reads.items() if path.endswith(HPAS))


# The period is long, or a list might find it by chance.
@pytest.mark.parametrize("timings", [Timings(autoscalers_period_seconds=3600.0)])
async def test_an_autoscaler_that_comes_later_is_heard_of_at_once(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 1})
    await setup.reason("Idle")
    theirs = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "somebody-elses"}}}
    setup.api.put("horizontalpodautoscalers", "theirs", theirs)
    setup.api.change("horizontalpodautoscalers", "theirs", {"status": {"currentReplicas": 1}})
    looks = lists_of_autoscalers(setup)
    theirs = {"scaleTargetRef": {"kind": "Deployment", "name": setup.name}}
    setup.api.change("horizontalpodautoscalers", "theirs", {"spec": theirs})
    await setup.reason("Conflicting")
    assert lists_of_autoscalers(setup) <= looks + 3, "status changes cause no look"
    setup.api.remove("horizontalpodautoscalers", "theirs")
    await setup.reason("Idle")


IMPATIENT = Timings(autoscalers_period_seconds=0.05, autoscalers_retry_seconds=(0.01, 0.05))


@pytest.mark.parametrize("timings", [IMPATIENT])
@pytest.mark.parametrize("status", [503, 429, 500])
async def test_a_list_of_autoscalers_that_fails_says_nothing(operator, setup, status):
    setup.fleet.create()
    target = {"scaleTargetRef": {"kind": "Deployment", "name": setup.name}}
    setup.api.put("horizontalpodautoscalers", "theirs", {"spec": target})
    setup.create()
    await setup.reason("Conflicting")
    setup.api.unreadable[HPAS] = status
    looks = lists_of_autoscalers(setup)
    # After a 429 a request is repeated twice before the look has failed.
    await eventually(lambda: lists_of_autoscalers(setup) > looks + 6, "two looks that failed")
    await setup.enqueue(2)
    await operator.looks()
    assert (setup.status["reason"], setup.fleet.replicas) == ("Conflicting", 0)
    setup.api.unreadable.clear()
    setup.api.remove("horizontalpodautoscalers", "theirs")
    await setup.replicas(2)


@pytest.mark.parametrize("timings", [IMPATIENT])
async def test_nothing_is_decided_before_it_is_known_who_else_scales(operator, setup):
    await operator.stop()
    setup.api.unreadable[HPAS] = 503
    await operator.start()
    await setup.enqueue(2)
    setup.fleet.create()
    setup.create()
    await setup.reason("AutoscalersUnknown")
    assert setup.condition("Ready") == ("False", "AutoscalersUnknown")
    assert "HorizontalPodAutoscalers in ns: 503" in await setup.told("AutoscalersUnknown")
    assert setup.fleet.replicas == 0
    setup.api.unreadable.clear()
    await setup.replicas(2)
    assert len(setup.events("AutoscalersUnknown")) == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_autoscalers_that_may_not_be_listed_are_done_without(operator, setup, status):
    await operator.stop()
    setup.api.unreadable[HPAS] = status
    await operator.start()
    await setup.enqueue(2)
    setup.fleet.create()
    setup.create()
    await setup.replicas(2)


async def test_of_two_taskqueues_with_one_deployment_the_older_one_scales(operator, setup, api):
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    setup.create(name=f"{setup.name}-too")

    def reason():
        return api.get("taskqueues", f"{setup.name}-too").get("status", {}).get("reason")

    await eventually(lambda: reason() == "Conflicting")
    assert setup.status["reason"] == "Idle"
    api.remove("taskqueues", setup.name)
    await eventually(lambda: reason() == "Idle")


async def test_the_newer_of_two_taskqueues_leaves_the_drain_of_the_older_one_alone(
    operator, setup, api
):
    chosen = await one_drains(setup)
    newer = f"{setup.name}-too"
    setup.create(name=newer)
    await eventually(lambda: (api.get("taskqueues", newer).get("status") or {}).get("reason"))
    marks = len(setup.api.writes("/pods/"))
    for _ in range(3):
        await operator.looks()
    api.remove("taskqueues", newer)
    await eventually(lambda: len(operator.controller.reconcilers) == 1)
    await eventually(lambda: not operator.controller.reconcilers.releasing)
    await operator.looks()
    assert len(setup.api.writes("/pods/")) == marks == 1
    await setup.fleet.workers[chosen].finish()
    await setup.replicas(1)


async def test_a_drain_outlives_an_outage_of_redis(operator, apart, server):
    """Else each failover would begin `drain.timeoutSeconds` anew."""
    await one_drains(apart)
    server.stop()
    await apart.reason("RedisUnreachable")
    await operator.looks()
    server.start()
    await apart.told("RedisRecovered")
    await operator.looks()
    assert len(apart.api.writes("/pods/")) == 1


async def test_an_api_server_that_is_away_is_waited_for(operator, setup):
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    setup.api.down = True
    await setup.enqueue(2)
    reconciler = next(iter(operator.controller.reconcilers.values()))
    await eventually(lambda: reconciler.failures > 1)
    setup.api.down = False
    await setup.replicas(2)


async def test_a_deleted_taskqueue_is_forgotten(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create({"minReplicas": 2})
    await setup.reason("Idle")
    setup.api.remove("taskqueues", setup.name)
    await eventually(lambda: not operator.controller.reconcilers)
    await eventually(lambda: not operator.controller.endpoints.in_use)
    assert setup.fleet.replicas == 2


async def nobody_drains(setup, queue=None):
    async with Admin(setup.address) as admin:

        async def nobody() -> bool:
            return not any(info.draining for info in await admin.workers(queue or setup.queue))

        await eventually(nobody, "all called back")


async def test_a_taskqueue_that_is_deleted_in_the_middle_of_a_drain_calls_its_workers_back(
    operator, setup
):
    await one_drains(setup)
    setup.api.remove("taskqueues", setup.name)
    await nobody_drains(setup)
    await eventually(lambda: not any(map(annotations, setup.fleet.pods)))
    await eventually(lambda: not operator.controller.endpoints.in_use)
    assert setup.fleet.replicas == 2
    assert not operator.controller.cluster.watched, "its pods are not kept account of"


@pytest.mark.parametrize("timings", [Timings(release_seconds=60.0)])
async def test_a_taskqueue_that_is_deleted_while_redis_is_away_calls_its_workers_back_later(
    operator, apart, server
):
    await one_drains(apart)
    server.stop()
    await apart.reason("RedisUnreachable")
    apart.api.remove("taskqueues", apart.name)
    await eventually(lambda: operator.controller.reconcilers.releasing)
    server.start()
    await nobody_drains(apart)
    await eventually(lambda: not any(map(annotations, apart.fleet.pods)))


@pytest.mark.parametrize("timings", [Timings(release_seconds=0.1)])
async def test_workers_that_could_not_be_called_back_are_told_of(operator, apart, server, caplog):
    await one_drains(apart)
    server.stop()
    await apart.reason("RedisUnreachable")
    apart.api.remove("taskqueues", apart.name)
    await eventually(lambda: "could not be called back" in caplog.text)


async def test_a_taskqueue_that_is_deleted_with_an_invalid_spec_calls_its_workers_back(
    operator, setup
):
    await one_drains(setup)
    invalid = {"scaling": {"schedules": [BAD_SCHEDULE]}}
    setup.api.change("taskqueues", setup.name, {"spec": invalid})
    await setup.reason("InvalidSpec")
    setup.api.remove("taskqueues", setup.name)
    await nobody_drains(setup)


async def test_a_queue_that_leaves_the_spec_in_the_middle_of_a_drain_keeps_nobody_told(
    operator, setup
):
    """One queue in which a worker is told to go keeps it from fetching anywhere."""
    left = f"{setup.queue}-left"
    setup.fleet.more_queues = (left,)
    await one_drains(setup, queues=[{"name": setup.queue}, {"name": left}])
    async with Admin(setup.address) as admin:
        assert sum(info.draining for info in await admin.workers(left)) == 1
        setup.api.change("taskqueues", setup.name, {"spec": {"queues": [{"name": setup.queue}]}})
        await nobody_drains(setup, left)
        assert sum(info.draining for info in await admin.workers(setup.queue)) == 1
    assert len(setup.api.writes("/pods/")) == 1


async def test_a_deletion_that_no_watch_told_of(operator, setup):
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    setup.api.remove_unnoticed("taskqueues", setup.name)
    await setup.enqueue(1)  # the next status write finds nothing to write to
    await eventually(lambda: not operator.controller.reconcilers)


async def test_resync_finds_a_taskqueue_that_vanished(operator, setup):
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    setup.api.remove_unnoticed("taskqueues", setup.name)

    async def forgotten() -> bool:
        await operator.controller.resync.compare(
            "ns"
        )  # one that the watch's last word overtakes waits
        return not operator.controller.reconcilers

    await eventually(forgotten)


async def test_an_api_server_without_time_is_asked_again_when_it_says(operator, setup):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
    await setup.reason("Idle")
    setup.api.busy = {"/scale": 2}
    await setup.enqueue(2)
    await setup.replicas(2)
    assert setup.api.busy == {"/scale": 0}
    assert operator.failed_rounds == 0


@pytest.mark.parametrize("kind", ["pods", "deployments", "taskqueues"])
async def test_a_right_that_is_lost_at_run_time_and_comes_back(operator, setup, kind):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
    await setup.reason("Idle")
    setup.api.unreadable = {f"/{kind}": 403}
    await operator.controller.rights.check("ns")
    await setup.reason("RightsMissing")
    assert setup.condition("Ready") == ("False", "RightsMissing")
    assert kind in await setup.told("RightsMissing")
    await setup.enqueue(2)
    await setup.replicas(2)
    setup.api.unreadable = {}
    await operator.controller.rights.check("ns")
    await eventually(lambda: setup.condition("Ready")[0] == "True")


@pytest.mark.parametrize("refused", ["/events", "/status"])
async def test_a_namespace_that_is_being_deleted_ends_quietly(operator, setup, caplog, refused):
    """Its Role may be deleted before the TaskQueue: then reports are refused as well."""
    caplog.set_level(logging.DEBUG)
    setup.api.terminating = True
    setup.api.forbidden = refused
    containers = [{"name": "worker", "image": "one"}]
    setup.create(
        {"pollPeriodSeconds": 1},
        workloadRef=None,
        template={"spec": {"containers": containers}},
    )
    await eventually(lambda: f"{refused} is forbidden for a test" in caplog.text)
    await operator.controller.resync.compare("ns")
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def metric(operator, name, key):
    """The values of a metric, of one TaskQueue, by its other labels."""
    lines = operator.meter.exposition().decode().splitlines()
    return [
        line for line in lines if line.startswith(f"identtqueue_operator_{name}{{") and key in line
    ]


async def test_metrics_say_what_is_true_in_trouble(operator, apart, server):
    """Nothing is repeated from before the trouble: it is 0, or it is not there."""
    operator.meter.watch(operator.controller.snapshots, lambda: 0)
    apart.fleet.create(1)
    await apart.fleet.settle()
    apart.create({"minReplicas": 1, "pollPeriodSeconds": 1})

    def value(name, more=""):
        found = [line for line in metric(operator, name, apart.name) if more in line]
        return found[0].rpartition(" ")[2] if found else None

    await eventually(lambda: value("redis_reachable") == "1.0")
    assert (value("ready"), value("tasks_queued")) == ("1.0", "0.0")
    server.stop()
    await eventually(lambda: value("redis_reachable") == "0.0")
    await eventually(lambda: value("ready") == "0.0")
    assert value("reason", 'reason="RedisUnreachable"') == "1.0"
    assert value("tasks_queued") is None
    apart.api.change("taskqueues", apart.name, {"spec": {"scaling": {"maxReplicas": 0}}})
    await eventually(lambda: value("reason", 'reason="InvalidSpec"') == "1.0")
    assert value("redis_reachable") is None
    assert value("replicas_desired") is None


async def test_a_resync_with_an_old_list_drops_nothing(operator, setup):
    """Of any kind: the API server is asked for each object before it counts as gone."""
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create({"maxReplicas": 4, "minReplicas": 2})
    await setup.reason("Idle")
    setup.api.stale = {"taskqueues": [], "deployments": [], "pods": []}
    for _ in range(2):
        await operator.controller.resync.compare("ns")
    (reconciler,) = operator.controller.reconcilers.values()
    assert not reconciler.gone
    await setup.enqueue(4)
    await setup.replicas(4)
    assert len(reconciler.seen.own_pods) == 2


async def test_a_resync_adds_what_the_watches_have_missed(operator, setup):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1}, name="template-for-it")
    body = setup.api.objects.pop(("taskqueues", "ns", "template-for-it"))
    await operator.controller.resync.compare("ns")
    await eventually(lambda: not operator.controller.reconcilers)
    setup.api.put_unnoticed("taskqueues", setup.name, {"spec": body["spec"]})
    await setup.enqueue(2)
    await operator.controller.resync.compare("ns")
    await setup.replicas(2)
    listeners, setup.api.listeners = setup.api.listeners, []
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"minReplicas": 3}}})
    setup.api.listeners = listeners
    await operator.controller.resync.compare("ns")
    await setup.replicas(3)


@pytest.mark.slow
async def test_a_redis_that_refuses_its_work_does_not_flap(operator, setup, new_redis_server):
    """It says hello and refuses the rest: that is one trouble, not one a second."""
    server = new_redis_server()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha", "-@scripting")
    setup.address = server.address
    setup.fleet.create(2)
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("RedisAuthFailed")
    (reconciler,) = operator.controller.reconcilers.values()
    before = reconciler.seen.source.outage_seconds
    await eventually(lambda: reconciler.seen.source.outage_seconds > before + 1.5)
    assert setup.events("RedisRecovered") == []
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "+@all")
    await setup.told("RedisRecovered")


async def test_a_redis_that_is_full_keeps_the_operator_from_nothing(operator, setup, raw):
    """It looks, drains and takes tasks back: that frees memory, and must not wait for it."""
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create({"minReplicas": 2, "pollPeriodSeconds": 1})
    await setup.reason("Idle")
    raw.config_set("maxmemory", 1)
    try:
        setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"minReplicas": 1}}})
        await setup.told("DrainStarted")
        await setup.replicas(1)
    finally:
        raw.config_set("maxmemory", 0)
    assert setup.events("RedisFull") == []


async def test_an_address_that_means_another_kind_of_server(operator, setup, redis_server):
    setup.fleet.create(1)
    nodes = {"addresses": [f"127.0.0.1:{redis_server.port}"]}
    setup.create(redis={"cluster": nodes})
    await setup.reason("RedisTopologyMismatch")
    assert setup.condition("RedisReachable") == ("False", "RedisTopologyMismatch")
    assert "is not a node of a Redis Cluster" in await setup.told("RedisTopologyMismatch")
    assert setup.fleet.replicas == 1
    right = {"address": setup.address, "cluster": None}
    setup.api.change("taskqueues", setup.name, {"spec": {"redis": right}})
    await setup.told("RedisRecovered")


@pytest.mark.slow
async def test_a_permission_that_is_missing_is_told_and_not_hammered_on(operator, setup):
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    setup.api.forbidden = "/scale"
    await setup.enqueue(2)
    await setup.reason("ActionFailed")
    assert setup.condition("Ready") == ("False", "ActionFailed")
    assert "403 Forbidden" in await setup.told("ActionFailed")
    reconciler = next(iter(operator.controller.reconcilers.values()))
    await eventually(lambda: reconciler.failures >= 6)
    assert len(setup.api.writes("/scale")) < 15
    setup.api.forbidden = ""
    await setup.replicas(2)
    await eventually(lambda: setup.condition("Ready")[0] == "True")


async def test_rounds_that_come_to_no_decision_are_told(operator, setup):
    """A Deployment that is not as the operator expects it: its error is none that was foreseen."""
    setup.api.put("deployments", setup.name, {"spec": None})
    setup.create({"pollPeriodSeconds": 1})
    message = await setup.told("RoundFailed")
    assert "the operator's log has the details" in message
    assert setup.condition("Ready") == ("False", "RoundFailed")
    setup.api.remove("deployments", setup.name)
    setup.fleet.create()
    await setup.enqueue(2)
    await setup.replicas(2)
    await eventually(lambda: setup.condition("Ready")[0] == "True")


async def test_an_api_server_that_refuses_to_be_asked_is_told(operator, setup):
    setup.api.unreadable[f"deployments/{setup.name}"] = 403
    setup.create({"pollPeriodSeconds": 1})
    assert "403" in await setup.told("RoundFailed")
    setup.api.unreadable.clear()
    setup.fleet.create()
    await setup.reason("Idle")


@pytest.mark.slow
async def test_a_fleet_at_work_does_not_cut_the_pause_after_a_failure_short(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 1})
    await setup.reason("Idle")
    (reconciler,) = operator.controller.reconcilers.values()
    setup.api.forbidden = "/scale"
    await setup.enqueue(2)
    moments = []
    while len(moments) < 7:
        reconciler.ring()
        await asyncio.sleep(0.01)
        if reconciler.failures > len(moments):
            moments.append(time.monotonic())
    first, _ = reconciler_module.BACKOFF_SECONDS
    assert moments[-1] - moments[0] > 0.7 * first * (2**6 - 1)


async def test_a_spec_that_is_too_large_is_told_and_not_kept(operator, setup):
    container = {"name": "worker", "args": ["x" * 1000] * 900}
    setup.api.put(
        "taskqueues",
        setup.name,
        {
            "spec": {
                "template": {"spec": {"containers": [container]}},
                "queues": [{"name": setup.queue}],
                "redis": {"address": setup.address},
            }
        },
    )
    await setup.reason("InvalidSpec")
    assert "262,144" in setup.status["message"]
    assert operator.controller.reconcilers["ns", setup.name].resource.spec is None
