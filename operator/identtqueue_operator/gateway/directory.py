"""The queues that callers may reach: those that a TaskQueue names, through its own Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from identtqueue.admin import Admin
from identtqueue_operator.gateway.refusals import Refused, bad_request
from identtqueue_operator.model import Key, Pod
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.rounds.reconciler import Reconciler


@dataclass(frozen=True, slots=True)
class Place:
    """One queue of a TaskQueue, and what runs commands on it."""

    trigger: str
    queue: str
    connection: Connection

    @property
    def admin(self) -> Admin:
        """The administration client of its Redis.

        Raises:
            Refused: there is trouble with this Redis.
        """
        admin = self.connection.admin
        if admin is None:
            source = self.connection.source
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                str(source.trouble or "RedisUnreachable"),
                f"queue {self.queue}: {source.message or 'the connection is not made yet'}",
            )
        return admin


class Directory:
    """The TaskQueues that this operator looks after.

    Args:
        reconcilers: by TaskQueue.
    """

    def __init__(self, reconcilers: Mapping[Key, Reconciler]) -> None:
        self._reconcilers = reconcilers

    def reconciler(self, key: Key) -> Reconciler:
        """Return the loop of a TaskQueue.

        Raises:
            Refused: there is none here.
        """
        found = self._reconcilers.get(key)
        if found is None or found.verdict is None:
            raise Refused(
                HTTPStatus.NOT_FOUND,
                "TaskQueueNotFound",
                f"this operator looks after no TaskQueue {key.name} in namespace {key.namespace}",
            )
        return found

    def places(self, key: Key) -> list[Place]:
        """Return all queues of a TaskQueue, in the order of its specification.

        Raises:
            Refused: there is no such TaskQueue here, or none of its Redis is known yet.
        """
        found = [
            Place(connection.name, queue, connection)
            for connection in self.reconciler(key).connections
            for queue in connection.queues
        ]
        if not found:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "RedisUnknown",
                f"no Redis of {key.name} is known yet; its status says why",
            )
        return found

    def place(self, key: Key, queue: str = "", trigger: str = "") -> Place:
        """Return one queue of a TaskQueue.

        Args:
            key: of the TaskQueue.
            queue: its name; empty: the only one.
            trigger: name of the trigger, where several have a queue of this name.

        Raises:
            Refused: there is no such queue, or more than one.
        """
        places = self.places(key)
        found = [p for p in places if queue in ("", p.queue) and trigger in ("", p.trigger)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"{each.queue} (trigger {each.trigger})" for each in found or places)
        if found:
            raise bad_request(f"say which queue: {key.name} has {names}")
        raise Refused(
            HTTPStatus.NOT_FOUND,
            "QueueNotFound",
            f"{key.name} has no queue {queue or 'of this trigger'}; it has {names}",
        )

    def pod(self, key: Key, name: str) -> Pod:
        """Return a pod of the TaskQueue's workload, as the last round saw it.

        Raises:
            Refused: the workload has no such pod.
        """
        seen = self.reconciler(key).seen
        for pod in seen.own_pods if seen else ():
            if pod.key.name == name:
                return pod
        raise Refused(
            HTTPStatus.NOT_FOUND, "PodNotFound", f"the workload of {key.name} has no pod {name}"
        )
