"""TaskQueues of a cluster for the pages of the dashboard, as the API server would have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Json = dict[str, Any]

NAMESPACE: Final = "team-a"
SCALED: Final = "documents"
"""The TaskQueue whose page has everything."""

_DECISIONS: Final = (
    (3, 5, 8, "BacklogAboveTarget", "MaxReplicas", 312, 32, 86),
    (5, 2, 5, "BacklogAboveTarget", "ScaleUpMaxStep", 118, 8, 32),
    (7, 0, 2, "BacklogAboveTarget", "None", 7, 0, 2),
    (52, 1, 0, "Idle", "None", 0, 0, 0),
)
"""Minutes ago, from, to, reason, limit, queued, in flight, wanted."""


def _ago(**words: float) -> str:
    at = datetime.now(UTC) - timedelta(**words)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _decision(
    minutes: int, before: int, after: int, reason: str, limit: str, *numbers: int
) -> Json:
    queued, running, wanted = numbers
    return {
        "time": _ago(minutes=minutes),
        "from": before,
        "to": after,
        "reason": reason,
        "limitedBy": limit,
        "message": f"ceil(({queued} queued + {running} in flight) / 4 per replica) = {wanted}",
    }


def _condition(kind: str, status: str, reason: str, message: str, **ago: float) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _ago(**ago),
    }


def _task_queue(name: str, spec: Json, status: Json) -> Json:
    return {"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec, "status": status}


def _documents() -> Json:
    history = [_decision(*words) for words in _DECISIONS]
    return _task_queue(
        SCALED,
        {
            "queues": [{"name": "documents"}, {"name": "documents-urgent"}],
            "scaling": {"minReplicas": 0, "maxReplicas": 8},
        },
        {
            "reason": "AtMaxReplicas",
            "message": "ceil((312 queued + 32 in flight) / 4 per replica) = 86; "
            "maxReplicas makes it 8",
            "workload": "Deployment/documents-worker",
            "replicas": {"desired": 8, "current": 8, "ready": 7, "draining": 1},
            "tasks": {"queued": 312, "inFlight": 32, "scheduled": 0, "dead": 12},
            "recovered": {"total": 3, "lastTime": _ago(hours=1)},
            "startupSeconds": 7,
            "lastScaleTime": history[0]["time"],
            "lastDecision": history[0],
            "history": history,
            "conditions": [
                _condition("Ready", "True", "Scaled", "all is well", hours=20),
                _condition("RedisReachable", "True", "Connected", "", hours=20),
                _condition(
                    "ScalingLimited",
                    "True",
                    "MaxReplicas",
                    "86 replicas are wanted; spec.scaling.maxReplicas allows 8",
                    minutes=3,
                ),
                _condition("WorkersReady", "True", "AllReady", "7 of 8 pods work", minutes=1),
            ],
        },
    )


def _reports() -> Json:
    trouble = 'pod reports-worker-7d9: back-off pulling image "registry.example/reports:1.2"'
    return _task_queue(
        "reports",
        {"queues": [{"name": "reports"}], "scaling": {"minReplicas": 1, "maxReplicas": 4}},
        {
            "reason": "WorkersFailing",
            "message": trouble,
            "workload": "Deployment/reports-worker",
            "replicas": {"desired": 1, "current": 1, "ready": 0, "draining": 0},
            "tasks": {"queued": 3, "inFlight": 0},
            "conditions": [
                _condition("Ready", "False", "WorkersFailing", trouble, minutes=9),
                _condition("WorkersReady", "False", "ImagePullFailed", trouble, minutes=9),
            ],
        },
    )


class ShownCluster:
    """A source of TaskQueues: one that is at its limit, one whose workers fail, one at rest."""

    async def task_queues(self) -> Sequence[Json]:
        """List them."""
        spec = {"queues": [{"name": "mails"}], "scaling": {"minReplicas": 0, "maxReplicas": 3}}
        idle = {
            "reason": "Idle",
            "message": "nothing waits",
            "replicas": {"desired": 0, "current": 0, "ready": 0},
            "tasks": {"queued": 0, "inFlight": 0},
            "conditions": [_condition("Ready", "True", "Idle", "nothing waits", hours=3)],
        }
        return [_documents(), _reports(), _task_queue("mails", spec, idle)]

    async def events(self, namespace: str, name: str) -> Sequence[Json]:
        """List the Events of one of them."""
        if (namespace, name) != (NAMESPACE, SCALED):
            return []
        found = (
            ("Normal", "Scaled", "from 5 to 8 replicas: BacklogAboveTarget", 3, 1),
            ("Normal", "Scaled", "from 2 to 5 replicas: BacklogAboveTarget", 5, 1),
            ("Warning", "TasksRecovered", "3 tasks of pod documents-worker-9hd7w are back", 60, 1),
            ("Normal", "ScalingLimited", "MaxReplicas: 86 replicas are wanted", 1, 14),
        )
        return [
            {
                "type": kind,
                "reason": reason,
                "message": text,
                "lastTimestamp": _ago(minutes=minutes),
                "count": number,
            }
            for kind, reason, text, minutes, number in found
        ]

    async def close(self) -> None:
        """Have nothing to close."""
