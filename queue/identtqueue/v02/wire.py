"""The wire format of identtqueue 0.2: three maps in msgpack, with fields by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from identtqueue.protocol import codec
from identtqueue.v02.job import JobRequest, JobResult, JobResultType, JobStatus, JobStatusType

_decoder: Final = msgspec.msgpack.Decoder()


class NotOfOldWire(Exception):
    """Bytes that are not what 0.2 writes.

    Attributes:
        task_id: the id of the task, if at least that can be read; else empty.
    """

    def __init__(self, why: str, task_id: str = "") -> None:
        super().__init__(why)
        self.task_id = task_id


def encode_request(request: JobRequest) -> bytes:
    """Encode a request as a client of 0.2 pushes it."""
    return codec.encode_plain(
        {
            "task_id": request.task_id,
            "function_name": request.function_name,
            "args": list(request.args),
            "kwargs": dict(request.kwargs),
            "enqueue_time": request.enqueue_time,
        }
    )


def decode_request(data: bytes) -> JobRequest:
    """Decode a request that a client of 0.2 has pushed.

    Raises:
        NotOfOldWire: it is not a request.
    """
    found = _map(data)
    task_id = found.get("task_id")
    if not isinstance(task_id, str):
        raise NotOfOldWire("it has no task_id")
    name, args, kwargs = found.get("function_name"), found.get("args"), found.get("kwargs")
    if not isinstance(name, str):
        raise NotOfOldWire("it has no function_name", task_id)
    if not isinstance(args, list):
        raise NotOfOldWire("args is not a list", task_id)
    if not (isinstance(kwargs, dict) and all(isinstance(key, str) for key in kwargs)):
        raise NotOfOldWire("kwargs is not a map of names", task_id)
    enqueued = found.get("enqueue_time")
    return JobRequest(
        task_id, name, args, kwargs, float(enqueued) if isinstance(enqueued, int | float) else 0.0
    )


def encode_status(status: JobStatus) -> bytes:
    """Encode the status of a task as a worker of 0.2 writes it."""
    return codec.encode_plain({"status": int(status.status), "data": dict(status.data)})


def decode_status(data: bytes) -> JobStatus:
    """Decode the status of a task.

    Raises:
        NotOfOldWire: it is not a status.
    """
    found = _map(data)
    try:
        status = JobStatusType(found.get("status", -1))
    except ValueError:
        raise NotOfOldWire(f"{found.get('status')!r} is no status") from None
    about = found.get("data")
    return JobStatus(status, about if isinstance(about, dict) else {})


def encode_result(result: JobResult) -> bytes:
    """Encode the result of a task as a worker of 0.2 writes it."""
    return codec.encode_plain({"type": int(result.type), "message": result.message})


def decode_result(data: bytes) -> JobResult:
    """Decode the result of a task.

    Raises:
        NotOfOldWire: it is not a result.
    """
    found = _map(data)
    try:
        kind = JobResultType(found.get("type", -1))
    except ValueError:
        raise NotOfOldWire(f"{found.get('type')!r} is no kind of result") from None
    return JobResult(kind, found.get("message"))


def _map(data: bytes) -> Mapping[Any, Any]:
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotOfOldWire(f"it is not msgpack: {error}") from None
    if not isinstance(found, dict):
        raise NotOfOldWire("it is not a map")
    return found
