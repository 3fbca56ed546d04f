"""Users who may write TaskQueues and little else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from testing.cluster.cluster import Kubectl
from testing.waiting import wait_until

Rule = dict[str, Any]
TASK_QUEUES = {
    "apiGroups": ["identtqueue.dev"],
    "resources": ["taskqueues"],
    "verbs": ["get", "create", "update", "patch"],
}
CREATE_DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}
REDIS = {"address": "redis.example:6379"}
"""A Redis that nobody has."""


def scale(verb: str, name: str, resource: str = "deployments", group: str = "apps") -> Rule:
    return {
        "apiGroups": [group],
        "resources": [f"{resource}/scale"],
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
    """A user who may write TaskQueues, and has the other permissions that the test grants."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.admin = kubectl
        self.name = name
        self.kubectl = Kubectl(kubectl.namespace, user=name)

    def may(self, *rules: Rule) -> None:
        """Grant these permissions, besides that to write TaskQueues, and no others."""
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
        """Try to create the object in a dry run; return the refusal, or an empty text."""
        return self._said("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))

    def patches(self, name: str, patch: dict[str, Any]) -> str:
        """Do as `creates` for a merge patch of a TaskQueue."""
        words = ("patch", "taskqueue", name, "--type=merge", "--dry-run=server")
        return self._said(*words, "-p", json.dumps(patch))

    def gone(self) -> None:
        """Remove the permissions."""
        self.admin("delete", "role,rolebinding", self.name, "--ignore-not-found")

    def until_policy_holds(self) -> None:
        """Wait until the API server applies the policy and the permission to write TaskQueues."""
        wait_until("the policy is in force", lambda: "denied request" in refusal(self), 20)

    def _said(self, *words: str, stdin: str | None = None) -> str:
        try:
            self.kubectl(*words, stdin=stdin)
        except AssertionError as error:
            return str(error)
        return ""

    def until_taken(self, look: Callable[[], str]) -> None:
        """Wait until the API server accepts it: the authorizer hears of a new Role by a watch."""
        wait_until("the API server takes it", lambda: look() == "", 20)


def refusal(author: Author) -> str:
    """Return the refusal of a TaskQueue that an author without permissions must not write."""
    return author.creates(queue(workloadRef={"name": "not-mine"}))


def queue(name: str = "mine", **spec: Any) -> dict[str, Any]:
    """Make a TaskQueue that names nothing of other users, except what is given."""
    return {
        "apiVersion": "identtqueue.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": {"name": name},
        "spec": {"queues": [{"name": "q"}], "redis": REDIS, "scaling": {"maxReplicas": 1}} | spec,
    }
