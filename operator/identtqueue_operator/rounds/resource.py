"""The TaskQueue resource, read and validated: what it asks for, or what is wrong with it."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.kube import parse
from identtqueue_operator.model import Cause, Key, Problem, Reference, WorkloadKey
from identtqueue_operator.workload.owned import owned_key

MOST_SPEC_BYTES = 256 * 1024
"""A larger spec is refused, and not kept. A pod template takes a few kilobytes; it stays in memory
several times its size, for each TaskQueue."""


class Resource:
    """One TaskQueue, as it was last read.

    Args:
        body: the object as the API server sends it.

    Attributes:
        key: its namespace and name.
        uid: distinguishes it from an earlier or later TaskQueue of that name.
        created: its creation time, then its name. Of several with one workload, the oldest scales.
        generation: of the specification that was read last.
        spec: the last valid specification; None: there was none yet.
        problem: what is wrong with the last one; None: the last one is `spec`.
    """

    # Two thousand TaskQueues have one each.
    __slots__ = ("created", "generation", "key", "problem", "spec", "uid")

    def __init__(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        self.key: Key = parse.key_of(body)
        self.uid: str = metadata["uid"]
        self.created: tuple[str, str] = (str(metadata.get("creationTimestamp")), self.key.name)
        self.spec: TaskQueueSpec | None = None
        self.read(body)

    def read(self, body: Mapping[str, Any]) -> None:
        """Read a later state of the specification. If it is invalid, the last valid one stays."""
        self.generation: int = body["metadata"]["generation"]
        found = validate(body.get("spec") or {})
        self.problem: Cause | None = None
        if isinstance(found, str):
            self.problem = Cause(Problem.INVALID_SPEC, found)
        else:
            self.spec = found

    def is_of(self, body: Mapping[str, Any]) -> bool:
        """Return whether this is the same object, rather than another one of that name."""
        return bool(body["metadata"]["uid"] == self.uid)

    def differs_from(self, body: Mapping[str, Any]) -> bool:
        """Return whether this is another object, or a later state of its specification."""
        return not self.is_of(body) or body["metadata"]["generation"] > self.generation

    @property
    def workload(self) -> WorkloadKey:
        """The scaled workload: the one that the spec names, or the one made of the template."""
        return self.reference.key

    @property
    def reference(self) -> Reference:
        """The scaled workload, as the spec names it."""
        given = self.spec.workload_ref if self.spec else None
        if given is None:
            return Reference(owned_key(self.key))
        key = WorkloadKey.referred(self.key.namespace, given.name, given.api_version, given.kind)
        return Reference(key, given.api_version, given.removal_order)

    @property
    def queues(self) -> frozenset[tuple[str, str]]:
        """Address of the Redis and name of each queue."""
        triggers = self.spec.all_triggers if self.spec else ()
        return frozenset((each.redis.url, name) for each in triggers for name in each.queue_names)


def validate(given: Mapping[str, Any]) -> TaskQueueSpec | str:
    """Validate a specification; return it, or what is wrong with it."""
    size = len(json.dumps(given, default=dict))
    if size > MOST_SPEC_BYTES:
        return f"the spec is {size:,} bytes of JSON; the operator accepts {MOST_SPEC_BYTES:,}"
    try:
        spec = TaskQueueSpec.model_validate(given)
    except ValidationError as error:
        return _readable(error)
    return "; ".join(spec.problems()) or spec


def _readable(error: ValidationError) -> str:
    """Describe what is wrong with a spec, field by field, without the values."""
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        where = ".".join(str(step) for step in ("spec", *item["loc"]))
        parts.append(f"{where}: {item['msg']}")
    return "; ".join(parts)
