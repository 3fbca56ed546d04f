"""Messages between a worker and its processes for jobs, as msgpack with a length prefix.

The worker sends `Setup` once, then one `Run` at a time. The process answers `Setup` with `Ready`,
or with `Raised` if it could not start. It answers each `Run` with `Done` or `Raised`. If that
answer is not `tidy`, `Tidied` follows. It sends `Progressed` and `Log` at any time. Tasks and
results are the same bytes as in Redis. Nothing is pickled.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from identtqueue.retry import Kinds
from identtqueue.transport.inherited import Inheritance

LENGTH: Final = struct.Struct("!I")
"""The prefix of each message: its length in bytes."""

UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Errors that the decoders raise for a message that can't be decoded."""


class Setup(msgspec.Struct, array_like=True, tag="setup"):
    """First message to a process: what it needs to run jobs of this worker.

    Attributes:
        argv: `sys.argv` of the worker.
        main_module, main_path: source of `__main__`, if jobs are defined there.
        state: reference to the class or function that makes the process's `state`.
        inheritance: where the jobs' app enqueues; None: nowhere, unless it connects itself.
        hooks: references to the `on_process_startup` hooks.
        max_payload_bytes: largest encoded result; a larger one fails the task.
        log_levels: levels of the worker's loggers by name; '' is the root logger.
    """

    argv: list[str]
    main_module: str | None
    main_path: str | None
    state: str
    inheritance: Inheritance | None
    hooks: list[str]
    max_payload_bytes: int
    log_levels: dict[str, int]


class Run(msgspec.Struct, array_like=True, tag="run"):
    """Order to run one attempt, with the fields of its `Context` and the payload from Redis.

    Attributes:
        number: number of the attempt in this process, counted from 1.
        job: name of the job.
        reference: where its function is found, as `module:name`.
        typed: whether its arguments are converted to declared types.
        deadline: time of `time.monotonic()`, a clock that all processes of a machine share.
        payload: the encoded task.
    """

    number: int
    job: str
    reference: str
    typed: bool
    task_id: str
    queue: str
    attempt: int
    failures: int
    enqueued_at_ms: int
    deadline: float | None
    payload: bytes
    fencing_token: int


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """Answer to `Setup`: the process is ready to run attempts."""


class Done(msgspec.Struct, array_like=True, tag="done"):
    """Answer to `Run`: the job returned.

    Attributes:
        data: the encoded result.
        tidy: whether the attempt has left nothing running. If False, `Tidied` follows.
    """

    data: bytes
    tidy: bool = True


class Raised(msgspec.Struct, array_like=True, tag="raised"):
    """Answer to `Setup` or `Run`: an error was raised.

    Attributes:
        failure: type, message and traceback for the caller, encoded.
        kinds: classes of the error, for the retry policy.
        after_seconds: delay that a `Retry` asked for; None: none.
        hopeless: whether another run would end the same way, because the job was not called or
            had already returned.
        tidy: see `Done`.
    """

    failure: bytes
    kinds: Kinds
    after_seconds: float | None
    hopeless: bool
    tidy: bool = True


class Tidied(msgspec.Struct, array_like=True, tag="tidied"):
    """Notice that the process has tidied up after its last attempt.

    Attributes:
        left: what could not be ended. Unless it is empty, the process can't be used any more.
    """

    left: list[str]


class Progressed(msgspec.Struct, array_like=True, tag="progress"):
    """Progress that a job reports.

    Attributes:
        data: the encoded progress.
        number: `number` of the `Run`, because a thread left by an earlier attempt may report too.
    """

    data: bytes
    number: int


class Log(msgspec.Struct, array_like=True, tag="log"):
    """Log record, which the worker's own handlers process."""

    name: str
    level: int
    message: str
    created: float
    process: int
    fields: dict[str, Any]


class _LogHead(msgspec.Struct, array_like=True, tag="log"):
    """Log record without its `fields`. The decoder skips what follows the last field here."""

    name: str
    level: int
    message: str
    created: float
    process: int


Order = Setup | Run
Answer = Ready | Done | Raised
Message = Answer | Tidied | Progressed | Log

_encoder = msgspec.msgpack.Encoder(enc_hook=repr)
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_log_heads: msgspec.msgpack.Decoder[_LogHead] = msgspec.msgpack.Decoder(_LogHead)


def pack(message: msgspec.Struct) -> bytes:
    """Encode a message with its length prefix."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def read_order(body: bytes) -> Order:
    """Decode a message from the worker."""
    return _orders.decode(body)


def read_message(body: bytes) -> Message:
    """Decode a message from the process.

    The fields of a log record are anything that can be encoded. Some of that can't be decoded again
    (a map with a map as a key, say). Then the record is returned without its fields.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: the bytes are not a message.
    """
    try:
        return _messages.decode(body)
    except UNREADABLE:
        head = _log_heads.decode(body)
        return Log(head.name, head.level, head.message, head.created, head.process, {})
