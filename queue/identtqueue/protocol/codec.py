"""The wire format: msgpack, with a version at the beginning. Never pickle.

Arguments and results may be anything that msgspec can encode (str, bytes, int, float, bool, None,
list, tuple, dict, set, datetime, UUID, Decimal, Enum, dataclass, msgspec.Struct, …) and pydantic
models. They arrive as plain values. A typed job (`@app.task`) gets them in the types it declares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import NotSerializable, PayloadTooLarge, PayloadUndecodable
from identtqueue.protocol.foreign import to_plain
from identtqueue.task import Failure, Task

ENVELOPE_VERSION: Final = 1
DEFAULT_MAX_PAYLOAD_BYTES: Final = 1024 * 1024
MAX_PROGRESS_BYTES: Final = 16 * 1024
"""Upper bound for one progress value, which is sent to all watchers up to ten times a second."""


class _Envelope(msgspec.Struct, array_like=True):
    """The content of `payload` in `task:<id>`. New fields go to the end, with a default."""

    version: int
    function_name: str
    args: list[Any]
    kwargs: dict[str, Any]
    timeout_seconds: float | None = None
    max_retries: int | None = None


class _Head(msgspec.Struct, array_like=True):
    """The beginning of an envelope; the rest is skipped without decoding it."""

    version: int
    function_name: str


class _FailureWire(msgspec.Struct, array_like=True):
    type: str
    message: str
    traceback: str = ""


_encoder = msgspec.msgpack.Encoder(enc_hook=to_plain)
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_parts_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_failure_decoder = msgspec.msgpack.Decoder(_FailureWire)
_value_decoder = msgspec.msgpack.Decoder()

_NONE: Final = _encoder.encode(None)
"""The value that most jobs return."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


_AS_THEY_ARE: Final = frozenset({str, int, float, bool, bytes, type(None)})
"""Classes whose values always arrive unchanged, so no check is needed after encoding."""


def _encode(what: str, value: Any, limit_bytes: int, job: str | None = None) -> bytes:
    """Encode a value; `what` and, if there is one, the job's name say in errors what it is."""
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, NotImplementedError, OverflowError, RecursionError) as error:
        raise NotSerializable(
            f"{_named(what, job)} can't be serialised: {error or type(error).__name__}. Pass plain "
            "values, dataclasses, msgspec structs or pydantic models"
        ) from None
    if len(data) > limit_bytes:
        raise PayloadTooLarge(_named(what, job), len(data), limit_bytes)
    return data


def _named(what: str, job: str | None) -> str:
    return what if job is None else f"{what} {job!r}"


def _check_readable(what: str, data: bytes, decoder: msgspec.msgpack.Decoder[Any]) -> None:
    """Refuse data that msgpack can encode but not decode: a map as a key, two equal keys."""
    try:
        again = _encoder.encode(decoder.decode(data))
    except _UNREADABLE as error:
        raise NotSerializable(f"{what} could not be read again: {error}") from None
    if again != data:
        raise NotSerializable(
            f"{what} would arrive as something else: two keys of a dict become the same when they "
            'are encoded (`Colour.RED` and "red")'
        )


def plain(value: Any) -> Any:
    """Return the plain form of a value, as it arrives where no type is declared.

    Raises:
        NotSerializable: the value has no msgpack form.
    """
    return _value_decoder.decode(_encode("it", value, sys.maxsize))


def encode_task(task: Task, limit_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> bytes:
    """Encode a task as an envelope: see `encode_call`."""
    return encode_call(
        task.function_name,
        task.args,
        task.kwargs,
        timeout_seconds=task.timeout_seconds,
        max_retries=task.max_retries,
        limit_bytes=limit_bytes,
    )


def encode_call(
    function_name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    timeout_seconds: float | None,
    max_retries: int | None,
    limit_bytes: int,
) -> bytes:
    """Encode the call of a job as an envelope.

    Args:
        function_name: name of the job.
        args: its positional arguments.
        kwargs: its keyword arguments.
        timeout_seconds: see `Task`.
        max_retries: see `Task`.
        limit_bytes: upper bound for the envelope.

    Raises:
        NotSerializable: an argument has no msgpack form, or could not be read again.
        PayloadTooLarge: the envelope exceeds `limit_bytes`.
    """
    # The fields of `_Envelope`: a tuple has the same form, and is made faster.
    envelope = (ENVELOPE_VERSION, function_name, args, kwargs, timeout_seconds, max_retries)
    data = _encode("arguments of", envelope, limit_bytes, function_name)
    if not _arrive_as_they_are(args, kwargs):
        _check_readable(_named("arguments of", function_name), data, _envelope_decoder)
    return data


def _arrive_as_they_are(args: Iterable[Any], kwargs: Mapping[Any, Any]) -> bool:
    for value in args:  # a loop: a generator or a set would cost more than the encoding
        if type(value) not in _AS_THEY_ARE:
            return False
    if kwargs:
        for name, value in kwargs.items():
            if type(name) is not str or type(value) not in _AS_THEY_ARE:
                return False
    return True


def decode_task(payload: bytes) -> Task:
    """Decode the task in an envelope.

    Raises:
        PayloadUndecodable: the bytes are not an envelope of this version.
    """
    try:
        envelope = _envelope_decoder.decode(payload)
    except _UNREADABLE as error:
        raise PayloadUndecodable(
            f"the payload ({len(payload)} bytes) is not a task envelope: {error}"
        ) from error
    if envelope.version != ENVELOPE_VERSION:
        raise PayloadUndecodable(
            f"the payload has envelope version {envelope.version}, this worker reads "
            f"{ENVELOPE_VERSION}: upgrade the workers before the clients"
        )
    return Task(
        envelope.function_name,
        tuple(envelope.args),
        envelope.kwargs,
        envelope.timeout_seconds,
        envelope.max_retries,
    )


def is_newer(payload: bytes) -> bool:
    """Return whether this is an envelope of a newer version than this library knows."""
    try:
        version = msgspec.msgpack.decode(_parts_decoder.decode(payload)[0])
    except (*_UNREADABLE, IndexError):
        return False
    return isinstance(version, int) and version > ENVELOPE_VERSION


def function_name_of(payload: bytes) -> str:
    """Read the name of the job from an envelope, without its arguments; "" if it can't be read."""
    try:
        return _head_decoder.decode(payload).function_name
    except _UNREADABLE:
        return ""


def encode_value(value: Any, limit_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> bytes:
    """Encode a job's return value.

    Args:
        value: the return value.
        limit_bytes: upper bound for the encoded value.

    Raises:
        NotSerializable: the value has no msgpack form, or could not be read again.
        PayloadTooLarge: the encoded value exceeds `limit_bytes`.
    """
    if value is None:
        return _NONE
    data = _encode("the result", value, limit_bytes)
    if type(value) not in _AS_THEY_ARE:
        _check_readable("the result", data, _value_decoder)
    return data


def decode_value(data: bytes) -> Any:
    """Decode a job's return value to plain values.

    Args:
        data: the encoded value.

    Raises:
        PayloadUndecodable: no plain value can hold it (a map with a map as a key, say).
    """
    try:
        return _value_decoder.decode(data)
    except _UNREADABLE as error:
        raise PayloadUndecodable(f"the result can't be read: {error}") from error


def encode_progress(value: Any) -> bytes:
    """Encode a progress value of a job.

    Raises:
        NotSerializable: the value has no msgpack form, or could not be read again.
        PayloadTooLarge: the encoded value exceeds MAX_PROGRESS_BYTES.
    """
    data = _encode("the progress", value, MAX_PROGRESS_BYTES)
    _check_readable("the progress", data, _value_decoder)
    return data


def encode_failure(failure: Failure, limit_bytes: int = 64 * 1024) -> bytes:
    """Encode the failure of a task. Texts that are too long are cut, never refused.

    Args:
        failure: the failure.
        limit_bytes: approximate upper bound for the encoded failure.
    """
    third = limit_bytes // 3
    kind, message, traceback = map(_printable, (failure.type, failure.message, failure.traceback))
    parts = (kind[: min(third, 1024)], message[:third], traceback[-third:])
    # A cut may split a character; the rest of that character is dropped.
    return _encoder.encode(_FailureWire(*(part.decode("utf-8", "ignore") for part in parts)))


def _printable(text: str) -> bytes:
    """Encode as UTF-8, with lone surrogates escaped (`os.fsdecode` makes them, for instance)."""
    return text.encode("utf-8", "backslashreplace")


def decode_failure(data: bytes) -> Failure:
    """Decode the failure of a task."""
    wire = _failure_decoder.decode(data)
    return Failure(wire.type, wire.message, wire.traceback)


def encode_plain(value: Any) -> bytes:
    """Encode a small value of the protocol itself, such as worker info."""
    return _encoder.encode(value)
