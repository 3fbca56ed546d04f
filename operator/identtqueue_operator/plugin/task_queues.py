"""The TaskQueues that a command is about, as the API server has them."""

from collections.abc import Iterator
from typing import NamedTuple

from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.plugin.kubectl import TASK_QUEUES, Json, Kubectl


class NamedQueue(NamedTuple):
    """A queue that a TaskQueue names."""

    trigger: str
    name: str


def name_of(body: Json) -> str:
    """Return the name of a TaskQueue."""
    return str(body["metadata"]["name"])


def find_all(kubectl: Kubectl, name: str | None = None) -> list[Json]:
    """Return the TaskQueues of the namespace or of all, or the one of that name.

    Raises:
        CommandFailed: there is none of that name, or they may not be read.
    """
    if name is not None:
        return [kubectl.get(TASK_QUEUES, name, namespace=kubectl.namespace)]
    if kubectl.all_namespaces:
        return list(kubectl.get(TASK_QUEUES, "--all-namespaces")["items"])
    return list(kubectl.get(TASK_QUEUES, namespace=kubectl.namespace)["items"])


def find_one(kubectl: Kubectl, name: str | None = None) -> Json:
    """Return the TaskQueue of that name; without a name, the only one of the namespace.

    Raises:
        CommandFailed: there is none, or more than one.
    """
    found = find_all(kubectl, name)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandFailed(f"namespace {kubectl.namespace} has no TaskQueue", Exit.NOTHING)
    raise CommandFailed(f"say which TaskQueue: {', '.join(map(name_of, found))}", Exit.USAGE)


def find_by_task(kubectl: Kubectl, task_id: str, name: str | None = None) -> Json:
    """Return the TaskQueue that has the queue of a task.

    Args:
        kubectl: lists the TaskQueues of the namespace.
        task_id: `<queue>:<unique part>`.
        name: of the TaskQueue, if the user gave it.

    Raises:
        CommandFailed: there is none, or more than one, or the id is none.
    """
    queue, colon, _ = task_id.partition(":")
    if not colon:
        raise CommandFailed(f"{task_id} is no id of a task: it has no ':'", Exit.USAGE)
    having = [
        body for body in find_all(kubectl, name) if queue in {each.name for each in queues_of(body)}
    ]
    if len(having) == 1:
        return having[0]
    if having:
        names = ", ".join(map(name_of, having))
        raise CommandFailed(
            f"say which TaskQueue with --taskqueue: {names} have {queue}", Exit.USAGE
        )
    where = name or f"no TaskQueue of namespace {kubectl.namespace}"
    verb = "has no" if name else "has the"
    raise CommandFailed(f"{where} {verb} queue {queue}", Exit.NOTHING)


def queues_of(body: Json) -> Iterator[NamedQueue]:
    """List the queues of a TaskQueue, in the order of its specification."""
    spec = body["spec"]
    for queue in spec.get("queues") or ():
        yield NamedQueue("main", queue["name"])
    for trigger in spec.get("triggers") or ():
        for queue in trigger.get("queues") or ():
            yield NamedQueue(trigger["name"], queue["name"])


def chosen_queues(body: Json, name: str = "") -> list[NamedQueue]:
    """Return the queues of a TaskQueue, or the one of that name.

    Raises:
        CommandFailed: it has no queue of that name.
    """
    queues = list(queues_of(body))
    found = [queue for queue in queues if name in ("", queue.name)]
    if not found:
        names = ", ".join(queue.name for queue in queues)
        raise CommandFailed(
            f"TaskQueue {name_of(body)} has no queue {name}; it has {names}", Exit.NOTHING
        )
    return found
