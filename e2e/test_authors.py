"""The admission policy: authors of TaskQueues need the permissions that the operator will use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from identtqueue_operator.api.v1alpha1 import MOST_TRIGGERS
from testing.cluster.author import CREATE_DEPLOYMENTS, REDIS, Author, queue, read, scale
from testing.cluster.cluster import Kubectl
from testing.cluster.workload import pod_spec, task_queue
from testing.waiting import wait_until


@pytest.fixture
def author(kubectl: Kubectl, name: str) -> Iterator[Author]:
    author = Author(kubectl, f"author-{name}")
    author.may()
    author.until_policy_holds()
    yield author
    author.gone()


def test_a_template_needs_the_right_to_create_deployments(author):
    body = queue(template={"spec": pod_spec()})
    said = author.creates(body)
    assert "(Forbidden)" in said
    assert "spec.template needs an author who may create Deployments" in said
    author.may(CREATE_DEPLOYMENTS)
    author.until_taken(lambda: author.creates(body))


@pytest.mark.parametrize("verb", ["patch", "update"])
def test_a_workload_needs_the_right_to_scale_it(author, verb):
    body = queue(workloadRef={"name": "web"})
    author.may(scale(verb, "another"))
    said = author.creates(body)
    assert "(Forbidden)" in said
    assert "spec.workloadRef needs an author who may scale the workload" in said
    author.may(scale(verb, "web"))
    author.until_taken(lambda: author.creates(body))


@pytest.mark.parametrize(
    ("kind", "api_version", "resource"),
    [
        ("StatefulSet", "apps/v1", "statefulsets"),
        ("Rollout", "argoproj.io/v1alpha1", "rollouts"),
        ("Proxy", "example.com/v1", "proxies"),
        ("Mass", "example.com/v1", "masses"),
    ],
)
def test_the_right_is_that_to_scale_this_kind(author, kind, api_version, resource):
    body = queue(workloadRef={"kind": kind, "apiVersion": api_version, "name": "web"})
    group = api_version.split("/")[0]
    author.may(scale("patch", "web"), scale("patch", "web", resource, "another.example"))
    assert "needs an author who may scale the workload" in author.creates(body)
    author.may(scale("patch", "web", resource, group))
    author.until_taken(lambda: author.creates(body))


def trigger(name: str, redis: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "queues": [{"name": "q"}], "redis": redis}


SECRETS = {
    "credentials": REDIS | {"credentialsSecretRef": {"name": "theirs"}},
    "ca": REDIS | {"tls": {"caSecretRef": {"name": "theirs"}}},
    "client certificate": REDIS | {"tls": {"clientCertSecretRef": {"name": "theirs"}}},
    "sentinel": {
        "sentinel": {
            "addresses": ["sentinel.example"],
            "masterName": "main",
            "credentialsSecretRef": {"name": "theirs"},
        }
    },
}


@pytest.mark.parametrize("redis", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_needs_the_right_to_read_it(author, redis):
    body = queue(workloadRef={"name": "web"}, redis=redis)
    author.may(scale("patch", "web"), read("another"))
    wait_until("told of the Secret", lambda: "Secret theirs" in author.creates(body), 20)
    assert "needs an author who may get it" in author.creates(body)
    author.may(scale("patch", "web"), read("theirs"))
    author.until_taken(lambda: author.creates(body))


def test_a_secret_of_a_further_trigger_needs_it_too(author):
    def of(*secrets: str) -> dict:
        triggers = [
            {
                "name": f"trigger-{number}",
                "queues": [{"name": "q"}],
                "redis": {
                    "address": f"redis-{number}.example:6379",
                    "credentialsSecretRef": {"name": secret},
                },
            }
            for number, secret in enumerate(secrets)
        ]
        return queue(workloadRef={"name": "web"}, triggers=triggers)

    author.may(scale("patch", "web"), read("mine"))
    author.until_taken(lambda: author.creates(of("mine", "mine")))
    assert "Secret theirs needs an author who may get it" in author.creates(of("mine", "theirs"))


def test_three_secrets_of_each_trigger_are_within_the_budget(author):
    """CEL has a cost limit, and each check of a permission takes a part of it."""
    secrets, triggers = [], []
    for number in range(MOST_TRIGGERS):
        login, ca, pair = names = [f"{kind}-{number}" for kind in ("login", "ca", "pair")]
        tls = {"caSecretRef": {"name": ca}, "clientCertSecretRef": {"name": pair}}
        redis = REDIS | {"credentialsSecretRef": {"name": login}, "tls": tls}
        triggers.append(trigger(f"t{number}", redis))
        secrets += names
    body = queue(workloadRef={"name": "web"}, triggers=triggers)
    author.may(scale("patch", "web"), *map(read, secrets[:-1]))
    missing = secrets[-1]
    wait_until(missing, lambda: f"Secret {missing} needs" in author.creates(body), 20)
    author.may(scale("patch", "web"), *map(read, secrets))
    author.until_taken(lambda: author.creates(body))


def test_each_of_several_secrets_is_asked_for(author):
    tls = {"caSecretRef": {"name": "second"}, "clientCertSecretRef": {"name": "third"}}
    redis = REDIS | {"credentialsSecretRef": {"name": "first"}, "tls": tls}
    body = queue(workloadRef={"name": "web"}, redis=redis)
    rights = [scale("patch", "web")]
    for secret in ("first", "second", "third"):
        author.may(*rights)
        wait_until(secret, lambda s=secret: f"Secret {s} needs" in author.creates(body), 20)
        rights.append(read(secret))
    author.may(*rights)
    author.until_taken(lambda: author.creates(body))


def test_a_stored_taskqueue_lends_nothing_to_those_who_change_it(release, author, name):
    """The TaskQueue names the administrator's Secret; its address decides who receives it."""
    release.kubectl.apply(task_queue(release, name, name))
    for patch in (
        {"spec": {"redis": {"address": "collector.example:6379"}}},
        {"spec": {"scaling": {"maxReplicas": 1000}}},
    ):
        assert "denied request" in author.patches(name, patch)
    # Changes that use no permission are free: a label, an annotation, the same spec again.
    assert author.patches(name, {"metadata": {"labels": {"team": "a"}}}) == ""
    assert author.patches(name, {"spec": {"scaling": {"maxReplicas": 3}}}) == ""
    # The operator's own writes are not checked.
    wait_until("the status is written", lambda: release.kubectl.condition(name, "Ready"), 30)


def test_other_namespaces_are_not_this_releases_business(author, kubectl):
    other = f"{kubectl.namespace}-other"
    kubectl("create", "namespace", other)
    try:
        foreign = Author(Kubectl(other), author.name)
        foreign.may()
        body = queue(workloadRef={"name": "web"})
        foreign.until_taken(lambda: foreign.creates(body))
        assert "denied request" in author.creates(body)
    finally:
        kubectl("delete", "namespace", other, "--wait=false")
