"""The calls of the bridge to identtqueue 0.2, and of `identtqueue.v02`.

They use keys of 0.2, which have no prefix: one call may touch several slots of a Redis Cluster. 0.2
does not know clusters, so no bridge connects to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from identtqueue.protocol import keys, replies, scripts
from identtqueue.protocol.answers import Adopted
from identtqueue.protocol.call import PROTOCOL_VERSION, Call, Word
from identtqueue.protocol.keys import BridgeKeys, queue_keys
from identtqueue.task import State, queue_of

REMOVABLE: Final = f"{State.SUCCEEDED} {State.CANCELLED}"
"""States of tasks that a client may remove. A dead letter stays, for those who repair it."""


class Adoptee(msgspec.Struct, frozen=True):
    """A request of 0.2 that is to become a task.

    Attributes:
        request: the request, byte for byte.
        task_id: the id of the task; empty: not even that can be read.
        payload: the envelope of the task; empty: the request can't be read.
        function_name: the name of its job.
    """

    request: bytes
    task_id: str = ""
    payload: bytes = b""
    function_name: str = ""


# --- from 0.2 to today ------------------------------------------------------------------------


def peek(bridge: BridgeKeys, number: int) -> Call[list[bytes]]:
    """Read the requests that come next, and leave them where they are.

    Args:
        bridge: keys of the queue.
        number: maximum number of requests.
    """
    return Call("LRANGE", (bridge.requests,), (0, number - 1), _parse_all, is_script=False)


def block_for_requests(bridge: BridgeKeys, seconds: float) -> Call[bool]:
    """Block until there is a request; the call returns whether there is one.

    It moves the head of the list to the head of the same list, which changes nothing: Redis has no
    command that waits for a list and takes nothing from it.

    Args:
        bridge: keys of the queue.
        seconds: how long to block.
    """
    here = bridge.requests
    return Call(
        "BLMOVE",
        (here, here),
        ("LEFT", "LEFT", seconds),
        _parse_present,
        is_script=False,
    )


def adopt(
    bridge: BridgeKeys, queue: str, requests: Sequence[Adoptee], ttl_ms: int
) -> Call[list[Adopted]]:
    """Make tasks of the requests at the head of a list, as far as they are still there.

    The call may be repeated: what it has taken is no longer in the list.

    Args:
        bridge: keys of the queue.
        queue: today's queue.
        requests: the requests, in the order in which `peek` has read them.
        ttl_ms: how long a result is kept.

    Returns:
        A call that returns one answer for each request. Its `parse` raises ProtocolMismatch if the
        queue was written by another major version.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, k.doorbell, PROTOCOL_VERSION, ttl_ms, k.minute_prefix]
    for each in requests:
        args += (each.request, each.task_id, each.payload, each.function_name)
    return Call(
        scripts.BRIDGE + "adopt",
        (
            bridge.requests,
            k.pending,
            k.wake,
            k.stats,
            k.meta,
            k.tombstones,
            bridge.owed,
            bridge.refused,
            k.enqueued,
            k.packed_tasks,
        ),
        tuple(args),
        _parse_adopted,
    )


def owed(bridge: BridgeKeys, number: int) -> Call[list[str]]:
    """List the tasks whose results are owed to clients of 0.2, the oldest first.

    Args:
        bridge: keys of the queue.
        number: maximum number of ids.
    """
    return Call("ZRANGE", (bridge.owed,), (0, number - 1), replies.parse_names, is_script=False)


def repay(
    bridge: BridgeKeys, task_id: str, old_id: str, status: bytes, result: bytes, ttl_ms: int
) -> Call[bool]:
    """Give a result to the client of 0.2 that waits for it.

    Args:
        bridge: keys of the queue.
        task_id: the task.
        old_id: its id in 0.2.
        status: the encoded status.
        result: the encoded result.
        ttl_ms: how long both are kept.

    Returns:
        A call that returns whether the result was given now; False: it was given before.
    """
    return Call(
        scripts.BRIDGE + "repay",
        (bridge.owed, keys.old_status(old_id), keys.old_result(old_id)),
        (task_id, status, result, ttl_ms),
        replies.parse_ok,
    )


def mirror(bridge: BridgeKeys, task_id: str, old_id: str, status: bytes, ttl_ms: int) -> Call[bool]:
    """Show the state of a running task to its client of 0.2, unless that has the result already.

    Args:
        bridge: keys of the queue.
        task_id: the task.
        old_id: its id in 0.2.
        status: the encoded status.
        ttl_ms: how long it is kept.
    """
    return Call(
        scripts.BRIDGE + "mirror",
        (bridge.owed, keys.old_status(old_id)),
        (task_id, status, ttl_ms),
        replies.parse_ok,
    )


# --- from today to 0.2 ------------------------------------------------------------------------


def deliveries(bridge: BridgeKeys, name: str) -> Call[int]:
    """Read how often the request of a task was pushed.

    Args:
        bridge: keys of the queue.
        name: of the request; see `forward`.
    """
    return Call("GET", (bridge.sent_prefix + name,), (), _parse_number, is_script=False)


def forward(
    bridge: BridgeKeys,
    name: str,
    delivery: int,
    old_id: str,
    request: bytes,
    status: bytes,
    kept_ms: int,
) -> Call[bool]:
    """Push a request to the workers of 0.2, unless this delivery was pushed before.

    Args:
        bridge: keys of the queue.
        name: of the request: the same for each of its deliveries.
        delivery: number of the delivery, from 1 on.
        old_id: id of this delivery.
        request: the encoded request.
        status: the encoded status.
        kept_ms: how long Redis keeps the status, and remembers that the request was pushed.

    Returns:
        A call that returns whether the request was pushed now.
    """
    return Call(
        scripts.BRIDGE + "forward",
        (bridge.requests, bridge.sent_prefix + name, keys.old_status(old_id)),
        (delivery, request, status, kept_ms),
        replies.parse_ok,
    )


def old_status(old_id: str) -> Call[bytes | None]:
    """Read the encoded status of a task of 0.2."""
    return Call("GET", (keys.old_status(old_id),), (), _parse_raw, is_script=False)


def old_result(old_id: str) -> Call[bytes | None]:
    """Read the encoded result of a task of 0.2, and leave it where it is."""
    return Call("LINDEX", (keys.old_result(old_id),), (0,), _parse_raw, is_script=False)


def is_waiting(bridge: BridgeKeys, request: bytes) -> Call[bool]:
    """Return whether a request is still in its list: no worker of 0.2 has taken it."""
    return Call("LPOS", (bridge.requests,), (request,), _parse_present, is_script=False)


def withdraw(bridge: BridgeKeys, name: str, old_id: str, request: bytes) -> Call[bool]:
    """Take a request back; the call returns False if a worker of 0.2 has taken it.

    Args:
        bridge: keys of the queue.
        name: of the request.
        old_id: id of its delivery.
        request: the encoded request.
    """
    return Call(
        scripts.BRIDGE + "withdraw",
        (bridge.requests, bridge.sent_prefix + name, keys.old_status(old_id)),
        (request,),
        replies.parse_ok,
    )


def tidy(bridge: BridgeKeys, name: str, old_id: str, kept_ms: int) -> Call[bool]:
    """Let what a delivery has left in Redis expire.

    Args:
        bridge: keys of the queue.
        name: of the request.
        old_id: id of the delivery.
        kept_ms: after how long; 0 deletes it at once.
    """
    return Call(
        scripts.BRIDGE + "tidy",
        (bridge.sent_prefix + name, keys.old_status(old_id), keys.old_result(old_id)),
        (kept_ms,),
        replies.parse_ok,
    )


# --- both ways --------------------------------------------------------------------------------


def hold(bridge: BridgeKeys, direction: str, lease_ms: int) -> Call[str]:
    """Keep the direction of a queue: two bridges of opposite directions would move in a circle.

    Args:
        bridge: keys of the queue.
        direction: a word for the direction.
        lease_ms: how long it is kept.

    Returns:
        A call that returns "ok", or the word of the direction that other bridges keep.
    """
    return Call(scripts.BRIDGE + "hold", (bridge.direction,), (direction, lease_ms), _parse_text)


def remove(task_id: str) -> Call[bool]:
    """Remove a task that has succeeded or was cancelled, with its result.

    Args:
        task_id: the task.

    Returns:
        A call that returns whether it was removed.
    """
    k = queue_keys(queue_of(task_id))
    args = (k.task_prefix, task_id, REMOVABLE)
    return Call(scripts.BRIDGE + "remove", (k.packed_tasks,), args, replies.parse_ok)


def _parse_all(reply: list[bytes]) -> list[bytes]:
    """Take the elements of a list as they are."""
    return list(reply)


def _parse_raw(reply: bytes | None) -> bytes | None:
    """Take a value as it is."""
    return reply


def _parse_text(reply: bytes) -> str:
    """Parse an answer that is a word or a name."""
    return reply.decode()


def _parse_number(reply: bytes | None) -> int:
    """Parse a number that is stored as text; 0: it is not stored."""
    return int(reply or 0)


def _parse_present(reply: object) -> bool:
    """Return whether anything was found."""
    return reply is not None


def _parse_adopted(reply: list[bytes]) -> list[Adopted]:
    """Parse the answers to an adoption, one for each request."""
    replies.check_protocol(reply)
    return [Adopted(answer) for answer in reply]
