"""The Deployment that is made from a template."""

import re

import pytest

from identtqueue.worker.settings import weighted_queues
from identtqueue_operator.model import Key
from identtqueue_operator.workload import template as template_module
from testing.taskqueues import spec

KEY = Key("ns", "mrz")


def render(template, replicas=0, **more):
    the_spec = spec(workloadRef=None, template=template, **more)
    return template_module.render(KEY, "uid-tq", the_spec, replicas)


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


REDIS = {
    "address": "redis:6379",
    "credentialsSecretRef": {"name": "redis", "usernameKey": "user"},
    "tls": {
        "caSecretRef": {"name": "redis.ca", "key": "root.pem"},
        "clientCertSecretRef": {"name": "redis-client"},
    },
}


def files_by_variable(deployment):
    """Variable -> (Secret, key), as the pod would find them."""
    pod = deployment["spec"]["template"]["spec"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"]}
    folders = {
        mount["mountPath"]: secrets[mount["name"]]
        for mount in container(deployment)["volumeMounts"]
        if mount["readOnly"]
    }
    return {
        name.removeprefix("IDENTTQUEUE_REDIS_"): (
            folders[variable["value"].rpartition("/")[0]],
            variable["value"].rpartition("/")[2],
        )
        for name, variable in variables(container(deployment)).items()
        if name.endswith("_FILE")
    }


def test_credentials_are_mounted_as_files_and_never_stand_in_the_template():
    """As files, since what a Secret's rotation changes is not the environment of a process."""
    found = render(PLAIN, redis=REDIS)
    assert files_by_variable(found) == {
        "PASSWORD_FILE": ("redis", "password"),
        "USERNAME_FILE": ("redis", "user"),
        "TLS_CA_FILE": ("redis.ca", "root.pem"),
        "TLS_CERT_FILE": ("redis-client", "tls.crt"),
        "TLS_KEY_FILE": ("redis-client", "tls.key"),
    }
    variables_found = variables(container(found))
    assert variables_found["IDENTTQUEUE_REDIS_ADDRESS"]["value"] == "rediss://redis:6379"
    assert not {"IDENTTQUEUE_REDIS_PASSWORD", "IDENTTQUEUE_REDIS_USERNAME"} & set(variables_found)


def mounted(deployment):
    """Secret -> the keys of it that are files in the pod."""
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    return {
        volume["secret"]["secretName"]: [item["key"] for item in volume["secret"]["items"]]
        for volume in volumes
    }


def test_only_the_keys_that_are_named_are_mounted():
    assert mounted(render(PLAIN, redis=REDIS)) == {
        "redis": ["password", "user"],
        "redis.ca": ["root.pem"],
        "redis-client": ["tls.crt", "tls.key"],
    }
    everything_in_one = {
        "address": "redis:6379",
        "credentialsSecretRef": {"name": "redis"},
        "tls": {"caSecretRef": {"name": "redis"}, "clientCertSecretRef": {"name": "redis"}},
    }
    expected = {"redis": ["password", "ca.crt", "tls.crt", "tls.key"]}
    assert mounted(render(PLAIN, redis=everything_in_one)) == expected


def test_a_key_that_is_named_twice_is_mounted_once():
    login = {"name": "redis"}
    sentinel = {"addresses": ["a"], "masterName": "mrz", "credentialsSecretRef": login}
    found = render(PLAIN, redis={"sentinel": sentinel, "credentialsSecretRef": login})
    assert mounted(found) == {"redis": ["password"]}


def test_workers_have_a_login_of_their_own_and_the_operators_is_not_in_their_pods():
    worker = {"name": "worker-login", "usernameKey": "username", "passwordKey": "secret"}
    found = render(PLAIN, redis=REDIS | {"workerCredentialsSecretRef": worker})
    assert files_by_variable(found)["PASSWORD_FILE"] == ("worker-login", "secret")
    assert files_by_variable(found)["USERNAME_FILE"] == ("worker-login", "username")
    assert "redis" not in mounted(found)
    assert mounted(found)["worker-login"] == ["secret", "username"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_pod_gets_a_token_only_if_the_template_asks_for_it(asked):
    assert pod_of(render(PLAIN))["automountServiceAccountToken"] is False
    template = {"spec": PLAIN["spec"] | {"automountServiceAccountToken": asked}}
    assert pod_of(render(template))["automountServiceAccountToken"] is asked


def pod_of(deployment):
    return deployment["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("redis.tls", "redis-tls"), ("r" * 60 + "-login", "r" * 60 + "-ca")],
)
def test_secrets_whose_names_become_alike_have_a_volume_each(first, second):
    redis = {
        "address": "redis:6379",
        "credentialsSecretRef": {"name": first},
        "tls": {"caSecretRef": {"name": second}},
    }
    found = render(PLAIN, redis=redis)
    assert files_by_variable(found) == {
        "PASSWORD_FILE": (first, "password"),
        "TLS_CA_FILE": (second, "ca.crt"),
    }
    volumes = [volume["name"] for volume in found["spec"]["template"]["spec"]["volumes"]]
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in volumes)
    alone = render(PLAIN, redis={"address": "r", "credentialsSecretRef": {"name": first}})
    (volume,) = alone["spec"]["template"]["spec"]["volumes"]
    assert volume["name"] == volumes[0], "as ever: another name would roll the Deployment out"


def test_a_worker_may_have_a_login_of_its_own():
    own = {"name": "IDENTTQUEUE_REDIS_PASSWORD", "value": "mine"}
    pod = {"containers": [{"name": "worker", "env": [own]}]}
    found = variables(container(render({"spec": pod}, redis=REDIS)))
    assert found["IDENTTQUEUE_REDIS_PASSWORD"] == own
    assert "IDENTTQUEUE_REDIS_PASSWORD_FILE" not in found


def test_sentinels_and_clusters_are_named_to_the_worker():
    sentinel = {
        "addresses": ["a:26379", "b"],
        "masterName": "mrz",
        "credentialsSecretRef": {"name": "sentinel", "usernameKey": "user"},
    }
    found = render(PLAIN, redis={"sentinel": sentinel})
    address = variables(container(found))["IDENTTQUEUE_REDIS_ADDRESS"]["value"]
    assert address == "redis+sentinel://a:26379,b/mrz/0"
    assert files_by_variable(found) == {
        "SENTINEL_PASSWORD_FILE": ("sentinel", "password"),
        "SENTINEL_USERNAME_FILE": ("sentinel", "user"),
    }
    found = render(PLAIN, redis={"cluster": {"addresses": ["a:1", "b"]}, "tls": {}})
    address = variables(container(found))["IDENTTQUEUE_REDIS_ADDRESS"]["value"]
    assert address == "rediss+cluster://a:1,b"


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
    first = template_module.template_hash(render(PLAIN, 1))
    assert template_module.template_hash(render(PLAIN, 9)) == first
    other = {"spec": {"containers": [{"name": "worker", "image": "y"}]}}
    assert template_module.template_hash(render(other)) != first
    assert template_module.template_hash(render(PLAIN, queues=[{"name": "b"}])) != first
