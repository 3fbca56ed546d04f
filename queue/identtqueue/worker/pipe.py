"""What a worker and the processes of its jobs say to each other: msgpack, with its length in front.

The worker: `Setup` once, then `Run`, one at a time. The process: `Ready` once, then `Done` or
`Raised` to each; `Raised` in the place of `Ready` if it could not start; `Tidied` after a `Done` or
`Raised` that is not `tidy`; `Progress` and `Log` at any time. Tasks and results are the bytes that
Redis has; nothing is pickled.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from identtqueue.retry import Kinds

LENGTH: Final = struct.Struct("!I")

UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""What a decoder raises."""


class Setup(msgspec.Struct, array_like=True, tag="setup"):
    """How to become a process of this worker.

    Attributes:
        argv: of the worker.
        main_module, main_path: `__main__`, if jobs live there.
        hooks: references to what is called at the start.
        max_payload_bytes: larger results fail the task.
        log_levels: by logger name; '' is the root.
    """

    argv: list[str]
    main_module: str | None
    main_path: str | None
    hooks: list[str]
    max_payload_bytes: int
    log_levels: dict[str, int]


class Run(msgspec.Struct, array_like=True, tag="run"):
    """One attempt: what becomes its `Context`, and the task as it came from Redis.

    Attributes:
        number: counts the attempts of this process.
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
    deadline: float | None  # time.monotonic(): one clock for all processes of a machine
    payload: bytes
    fencing_token: int


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """It has started."""


class Done(msgspec.Struct, array_like=True, tag="done"):
    """A result.

    Attributes:
        data: the result, encoded.
        tidy: nothing of the attempt is left; otherwise `Tidied` comes when that is so.
    """

    data: bytes
    tidy: bool = True


class Raised(msgspec.Struct, array_like=True, tag="raised"):
    """An error.

    Attributes:
        failure: what the caller is shown, encoded.
        kinds: what the retry policy looks at.
        after_seconds: what a `Retry` asked for.
        hopeless: the job was not called, or had returned: another run would end the same way.
        tidy: as of `Done`.
    """

    failure: bytes
    kinds: Kinds
    after_seconds: float | None
    hopeless: bool
    tidy: bool = True


class Tidied(msgspec.Struct, array_like=True, tag="tidied"):
    """The process has ended what the last attempt had left behind.

    Attributes:
        left: what it could not end; the process can't be used any more.
    """

    left: list[str]


class Progress(msgspec.Struct, array_like=True, tag="progress"):
    """What the job reports.

    Attributes:
        data: the progress, encoded.
        number: of the `Run`: a thread that an earlier attempt has left may report too.
    """

    data: bytes
    number: int


class Log(msgspec.Struct, array_like=True, tag="log"):
    """A log record; the worker's handlers have it as their own."""

    name: str
    level: int
    message: str
    created: float
    process: int
    fields: dict[str, Any]


class _LogHead(msgspec.Struct, array_like=True, tag="log"):
    """A log record without its fields: what is behind the last one is passed over, unread."""

    name: str
    level: int
    message: str
    created: float
    process: int


Order = Setup | Run
Answer = Ready | Done | Raised
Message = Answer | Tidied | Progress | Log

_encoder = msgspec.msgpack.Encoder(enc_hook=repr)
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_log_heads: msgspec.msgpack.Decoder[_LogHead] = msgspec.msgpack.Decoder(_LogHead)


def pack(message: msgspec.Struct) -> bytes:
    """As it goes through the pipe."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def read_order(body: bytes) -> Order:
    """What the worker said."""
    return _orders.decode(body)


def read_message(body: bytes) -> Message:
    """What the process said.

    A log record's fields are anything that can be encoded. Some can't be decoded (a map with a map
    as a key, say): then the record comes without them.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: it is no message.
    """
    try:
        return _messages.decode(body)
    except UNREADABLE:
        head = _log_heads.decode(body)
        return Log(head.name, head.level, head.message, head.created, head.process, {})
