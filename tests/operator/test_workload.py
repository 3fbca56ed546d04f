"""The Deployment that is made from a template."""

from identtqueue.worker.settings import weighted_queues
from identtqueue_operator import workload
from identtqueue_operator.model import Key
from support.taskqueues import spec

KEY = Key("ns", "mrz")


def render(template, replicas=0, **more):
    the_spec = spec(workloadRef=None, template=template, **more)
    return workload.render(KEY, "uid-tq", the_spec, replicas)


def container(deployment, index=0):
    return deployment["spec"]["template"]["spec"]["containers"][index]


def variables(a_container):
    return {item["name"]: item for item in a_container["env"]}


PLAIN = {"spec": {"containers": [{"name": "worker", "image": "x"}]}}


def test_it_belongs_to_the_taskqueue_and_selects_its_pods():
    found = render({**PLAIN, "metadata": {"labels": {"team": "a"}, "annotations": {"b": "c"}}}, 3)
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("TaskQueue", "uid-tq", True)
    assert "blockOwnerDeletion" not in owner
    assert found["spec"]["replicas"] == 3
    selector = found["spec"]["selector"]["matchLabels"]
    metadata = found["spec"]["template"]["metadata"]
    assert selector.items() <= metadata["labels"].items()
    assert metadata["labels"]["team"] == "a"
    assert metadata["annotations"] == {"b": "c"}


def test_the_worker_is_told_what_it_must_know():
    found = variables(
        container(
            render(
                PLAIN,
                queues=[{"name": "mrz"}, {"name": "default"}],
                scaling={"concurrencyPerReplica": 4},
                drain={"timeoutSeconds": 90},
            )
        )
    )
    assert found["IDENTTQUEUE_POD_UID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"
    assert found["IDENTTQUEUE_POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    values = {name: item.get("value") for name, item in found.items()}
    assert values["IDENTTQUEUE_CONTAINER"] == "worker"
    assert values["IDENTTQUEUE_REDIS_ADDRESS"] == "redis://redis:6379"
    assert values["IDENTTQUEUE_QUEUES"] == "mrz,default"
    assert values["IDENTTQUEUE_CONCURRENCY"] == "4"
    assert values["IDENTTQUEUE_LEASE_SECONDS"] == "15"
    assert values["IDENTTQUEUE_MAX_DELIVERIES"] == "5"
    assert values["IDENTTQUEUE_GRACE_SECONDS"] == "90"
    assert values["IDENTTQUEUE_HTTP_PORT"] == "8080"
    assert "IDENTTQUEUE_REDIS_PASSWORD" not in found


def test_weights_are_told_in_the_form_that_the_command_reads():
    queues = [{"name": "mrz", "weight": 3}, {"name": "default"}]
    found = variables(container(render(PLAIN, queues=queues)))
    word = found["IDENTTQUEUE_QUEUES"]["value"]
    assert word == "mrz:3,default"
    assert weighted_queues(word.split(",")) == (["mrz", "default"], {"mrz": 3})


def test_credentials_come_from_the_secret_and_never_stand_in_the_template():
    redis = {
        "address": "redis:6379",
        "credentialsSecretRef": {"name": "redis", "usernameKey": "user"},
        "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}},
    }
    found = render(PLAIN, redis=redis)
    variables_found = variables(container(found))
    assert variables_found["IDENTTQUEUE_REDIS_PASSWORD"]["valueFrom"] == {
        "secretKeyRef": {"name": "redis", "key": "password"}
    }
    assert variables_found["IDENTTQUEUE_REDIS_USERNAME"]["valueFrom"] == {
        "secretKeyRef": {"name": "redis", "key": "user"}
    }
    assert variables_found["IDENTTQUEUE_REDIS_ADDRESS"]["value"] == "rediss://redis:6379"
    path = variables_found["IDENTTQUEUE_REDIS_TLS_CA_FILE"]["value"]
    (mount,) = container(found)["volumeMounts"]
    assert path == f"{mount['mountPath']}/root.pem"
    assert found["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] == "ca"


def test_what_the_user_gave_stays():
    mine = {
        "name": "worker",
        "env": [{"name": "IDENTTQUEUE_CONCURRENCY", "value": "1"}],
        "readinessProbe": {"exec": {"command": ["true"]}},
        "ports": [{"containerPort": 1}],
    }
    pod = {"containers": [mine], "terminationGracePeriodSeconds": 5}
    found = render({"spec": pod})
    assert variables(container(found))["IDENTTQUEUE_CONCURRENCY"]["value"] == "1"
    assert container(found)["readinessProbe"] == mine["readinessProbe"]
    assert container(found)["ports"] == mine["ports"]
    assert found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5
    assert "livenessProbe" in container(found)


def test_grace_is_longer_than_the_drain():
    found = render(PLAIN, drain={"timeoutSeconds": 90})
    assert found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 90


def test_the_worker_is_the_container_of_that_name_else_the_first():
    two = {"spec": {"containers": [{"name": "proxy"}, {"name": "worker"}]}}
    assert "env" not in container(render(two), 0)
    assert "env" in container(render(two), 1)
    assert "env" in container(render({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}))


def test_the_hash_follows_the_template_and_not_the_replicas():
    first = workload.template_hash(render(PLAIN, 1))
    assert workload.template_hash(render(PLAIN, 9)) == first
    other = {"spec": {"containers": [{"name": "worker", "image": "y"}]}}
    assert workload.template_hash(render(other)) != first
    assert workload.template_hash(render(PLAIN, queues=[{"name": "b"}])) != first
