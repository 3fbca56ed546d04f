"""Who writes a TaskQueue needs the rights that it lends, as the API server's admission sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.cluster import Kubectl, wait_until
from harness.workload import pod_spec, task_queue

Rule = dict[str, Any]
TASK_QUEUES = {
    "apiGroups": ["identtqueue.dev"],
    "resources": ["taskqueues"],
    "verbs": ["get", "create", "update", "patch"],
}
CREATE_DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}
REDIS = {"address": "redis.example:6379"}


def scale(verb: str, name: str) -> Rule:
    return {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale"],
        "resourceNames": [name],
        "verbs": [verb],
    }


def read(secret: str) -> Rule:
    return {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [secret],
        "verbs": ["get"],
    }


class Author:
    """Somebody who may write TaskQueues, and what else the test grants."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.admin = kubectl
        self.name = name
        self.kubectl = Kubectl(kubectl.namespace, user=name)

    def may(self, *rules: Rule) -> None:
        """Give these rights, besides that to write TaskQueues, and no others."""
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": self.name},
            "rules": [TASK_QUEUES, *rules],
        }
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": self.name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": self.name,
            },
            "subjects": [{"kind": "User", "name": self.name}],
        }
        self.admin.apply(role, binding)

    def creates(self, body: dict[str, Any]) -> str:
        """What the API server says, without keeping the object: empty if it takes it."""
        return self._said("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))

    def patches(self, name: str, patch: dict[str, Any]) -> str:
        """The same for a merge patch of a TaskQueue."""
        words = ("patch", "taskqueue", name, "--type=merge", "--dry-run=server")
        return self._said(*words, "-p", json.dumps(patch))

    def _said(self, *words: str, stdin: str | None = None) -> str:
        try:
            self.kubectl(*words, stdin=stdin)
        except AssertionError as error:
            return str(error)
        return ""

    def until_taken(self, look: Callable[[], str]) -> None:
        """The authorizer hears of a new Role by a watch, so soon and not at once."""
        wait_until("the API server takes it", lambda: look() == "", 20)


@pytest.fixture
def author(kubectl: Kubectl, name: str) -> Iterator[Author]:
    author = Author(kubectl, f"author-{name}")
    author.may()
    wait_until("the policy is in force", lambda: "denied request" in refusal(author), 20)
    yield author
    kubectl("delete", "role,rolebinding", author.name, "--ignore-not-found")


def refusal(author: Author) -> str:
    """What is said about a TaskQueue that nobody without rights may write."""
    return author.creates(queue(workloadRef={"name": "not-mine"}))


def queue(name: str = "mine", **spec: Any) -> dict[str, Any]:
    """A TaskQueue that names nothing of anybody but what is given."""
    return {
        "apiVersion": "identtqueue.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": {"name": name},
        "spec": {"queues": [{"name": "q"}], "redis": REDIS, "scaling": {"maxReplicas": 1}} | spec,
    }


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
    """The administrator's TaskQueue holds a Secret; its address decides who gets the content."""
    release.kubectl.apply(task_queue(release, name, name))
    for patch in (
        {"spec": {"redis": {"address": "collector.example:6379"}}},
        {"spec": {"scaling": {"maxReplicas": 1000}}},
    ):
        assert "denied request" in author.patches(name, patch)
    # What lends nothing is everybody's: a label, an annotation, the same spec once more.
    assert author.patches(name, {"metadata": {"labels": {"team": "a"}}}) == ""
    assert author.patches(name, {"spec": {"scaling": {"maxReplicas": 3}}}) == ""
    # And the operator's own writes are not looked at.
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
