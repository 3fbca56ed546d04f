"""TaskQueue, version v1alpha1: the resource a user writes and the status the operator answers with.

These models are the single source: `crd.py` generates the CustomResourceDefinition from them, with
the docstring below each field as its description, so `kubectl explain taskqueue.spec` shows this
text. Rules over several fields stand beside the model that they concern, as CEL for the API server
and in Python for the operator: see `schema.Rule`.

Durations are whole seconds and say so in their name. Unknown fields are ignored, so an older
operator can read a newer resource.

The other rooms import from here.
"""

from typing import Annotated

from pydantic import Field

from identtqueue_operator.api.v1alpha1.redis import CredentialsSecretRef, Queue, Redis
from identtqueue_operator.api.v1alpha1.scaling import ScaleDown, ScaleUp, Schedule, StepPolicy
from identtqueue_operator.api.v1alpha1.spec import (
    MOST_TRIGGERS,
    RESERVED_NAME,
    SHARED_SLOTS,
    WORKER_LOGIN_NEEDS_TEMPLATE,
    ResolvedTrigger,
    TaskQueueSpec,
)
from identtqueue_operator.api.v1alpha1.status import TaskQueueStatus
from identtqueue_operator.api.v1alpha1.workload import MOST_LABELS
from identtqueue_operator.schema import ApiModel

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "MOST_LABELS",
    "MOST_TRIGGERS",
    "PLURAL",
    "RESERVED_NAME",
    "SHARED_SLOTS",
    "VERSION",
    "WORKER_LOGIN_NEEDS_TEMPLATE",
    "CredentialsSecretRef",
    "Queue",
    "Redis",
    "ResolvedTrigger",
    "ScaleDown",
    "ScaleUp",
    "Schedule",
    "StepPolicy",
    "TaskQueue",
    "TaskQueueSpec",
    "TaskQueueStatus",
]

GROUP = "identtqueue.dev"
VERSION = "v1alpha1"
KIND = "TaskQueue"
PLURAL = "taskqueues"
API_VERSION = f"{GROUP}/{VERSION}"


class TaskQueue(ApiModel):
    """A task queue and the workers that serve it.

    The operator scales the workload by the length of the queues' Redis lists, lets workers finish
    before their pods end, and returns the tasks of dead pods to their queue.
    """

    spec: TaskQueueSpec
    """The desired state: a workload, its queues, their Redis, and how to scale."""
    status: Annotated[TaskQueueStatus, Field(default_factory=TaskQueueStatus)]
    """The observed state: what the operator saw and did, and why. The operator writes it."""
