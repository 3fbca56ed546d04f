"""The models of what is scaled: a workload that exists, or a template."""

from typing import Annotated, Any

from pydantic import Field

from identtqueue_operator.api.v1alpha1.types import ApiVersion, KindName, ObjectName
from identtqueue_operator.model import RemovalOrder
from identtqueue_operator.schema import ApiModel


class WorkloadRef(ApiModel):
    """An existing workload of workers. The operator only reads and scales it."""

    api_version: ApiVersion = "apps/v1"
    """API group and version of the workload. Default: apps/v1."""
    kind: KindName = "Deployment"
    """Kind of the workload: Deployment, StatefulSet, or another one with a /scale, for which the
    operator needs a right (rbac.scaleTargets of the chart). Default: Deployment."""
    name: ObjectName
    """Name of the workload, in the TaskQueue's namespace."""
    removal_order: RemovalOrder | None = None
    """Which pods the workload's controller ends first when its replicas are lowered. NotReadyFirst:
    those that are not ready, then those with the lowest pod-deletion-cost. HighestOrdinal: the one
    with the highest number in its name. Unknown: any; then replicas are lowered only while no
    worker holds a task. Ignored for Deployments and StatefulSets, whose order is known.
    Default: the order of the kind that owns the pods, if it is known, else Unknown."""


MOST_LABELS = 256
"""Labels or annotations of a pod template. Kubernetes itself does not bound their number; templates
in use have a dozen."""
MOST_ANNOTATION_CHARACTERS = 256 * 1024
"""Kubernetes' own bound for all annotations of an object together, in bytes."""


def _string_map(most_entries: int, most_characters: int) -> dict[str, Any]:
    """Bound a map in the schema only.

    The API server refuses what is over the bounds. A TaskQueue that it stored before there were
    any is still served: what the operator keeps of a spec is bounded by its size in any case.
    """
    return {
        "maxProperties": most_entries,
        "additionalProperties": {"type": "string", "maxLength": most_characters},
    }


class TemplateMetadata(ApiModel):
    """Labels and annotations of the worker pods."""

    labels: Annotated[
        dict[str, str],
        Field(default_factory=dict, json_schema_extra=_string_map(MOST_LABELS, 63)),
    ]
    """Added to the labels by which the operator selects the pods. At most 256."""
    annotations: Annotated[
        dict[str, str],
        Field(
            default_factory=dict,
            json_schema_extra=_string_map(MOST_LABELS, MOST_ANNOTATION_CHARACTERS),
        ),
    ]
    """Annotations of the worker pods, at most 256. A change rolls the pods out."""


class Template(ApiModel):
    """A pod template, from which the operator makes a Deployment named like the TaskQueue.

    Into the container named `worker` (else the first one) it puts the environment that the worker
    reads: identity, Redis address and credentials, queues, concurrency, lease, grace period; and,
    unless given, the probes on port 8080 and terminationGracePeriodSeconds = drain.timeoutSeconds
    + 10, so that the worker's own drain ends before its pod is killed. The pods get no token of
    their ServiceAccount, unless the template says automountServiceAccountToken: true.
    """

    metadata: Annotated[TemplateMetadata, Field(default_factory=TemplateMetadata)]
    spec: Annotated[
        dict[str, Any],
        Field(
            json_schema_extra={
                "x-kubernetes-preserve-unknown-fields": True,
                "required": ["containers"],
                "properties": {
                    "containers": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 32,
                        "description": "The pod's containers, as in a Deployment.",
                        "items": {
                            "type": "object",
                            "description": (
                                "A container. The one named worker, else the first, is the worker."
                            ),
                            "x-kubernetes-preserve-unknown-fields": True,
                            "properties": {
                                "name": {
                                    "type": "string",
                                    "maxLength": 63,
                                    "description": (
                                        "Name of the container. One that is named like a trigger "
                                        "is that trigger's worker."
                                    ),
                                }
                            },
                        },
                    }
                },
            }
        ),
    ]
    """The pod's specification, as in a Deployment (checked when the Deployment is written)."""

    @property
    def container_names(self) -> tuple[str, ...]:
        """The names of its containers, as far as they have any."""
        return tuple(str(each.get("name")) for each in self.spec.get("containers") or ())
