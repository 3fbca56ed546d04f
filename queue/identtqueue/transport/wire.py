"""What asyncio and blocking connections share: words to send, replies and errors to read."""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn, TypeVar

import hiredis
from msgspec import structs
from redis import exceptions as redis_errors
from redis.backoff import EqualJitterBackoff

from identtqueue.errors import (
    IdenttqueueError,
    InvalidInput,
    RedisAddressRefused,
    RedisAuthFailed,
    RedisError,
    RedisFull,
    RedisProtocolError,
    RedisTlsFailed,
    RedisUnavailable,
    ReplyUnreadable,
)
from identtqueue.protocol import keys
from identtqueue.protocol.commands import Call, Word
from identtqueue.protocol.scripts import names, script
from identtqueue.transport.address import Server
from identtqueue.transport.settings import RedisSettings

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # not on Windows
    ioctl = None  # type: ignore[assignment]

T = TypeVar("T")

BATCH_CALLS: Final = 512
BATCH_BYTES: Final = 1024 * 1024
"""One batch at most, unless a single call is larger. It bounds what the calls behind it wait for,
and what has to be sent again when the connection is lost in the middle of it."""

SMALL_BYTES: Final = 64 * 1024
"""A larger call is a big one: it lets the small ones go first."""

CONNECTION_LOST: Final = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    OSError,
    EOFError,
    TimeoutError,
)

_PASSING: Final = (
    redis_errors.BusyLoadingError,
    redis_errors.ClusterDownError,  # MASTERDOWN too
    redis_errors.ReadOnlyError,
    redis_errors.TryAgainError,
    redis_errors.AskError,  # MOVED too: only where it can't be followed
)
_PASSING_TEXT: Final = re.compile(
    r"(BUSY|UNKILLABLE|UNBLOCKED|NOREPLICAS|MISCONF) |.* -(READONLY|NOREPLICAS|MISCONF) "
)
"""Without a class in redis-py: a script that runs for too long; a blocked call on a master that is
demoted; `min-replicas-to-write`; a disk that takes no more; and how 6.2 quotes what a script was
told."""
_FORBIDDEN_TEXT: Final = re.compile(r"NOPERM|.*(ACL failure in script|executing the script can't)")
"""What the user's ACL lacks; inside a script, newer and older servers say it differently."""

_BACKOFF: Final = EqualJitterBackoff(base=0.05, cap=2.0)


def backoff_seconds(failures: int) -> float:
    """The pause after so many failures in a row.

    Between the half and the whole of 50 ms, doubling to 2 s: the jitter is there at the cap too,
    so that a fleet does not return in step after a long outage.
    """
    return float(_BACKOFF.compute(min(failures, 16)))  # 2**16 is past the cap


def words(call: Call[Any], *, in_cluster: bool = False, database: int = 0) -> tuple[Word, ...]:
    """The command as Redis wants it; channels are those of the database.

    In a cluster, a script names one more key, one that never exists. While a slot is on its way
    from node to node, key by key, Redis refuses a command with several keys if one is missing
    (TRYAGAIN). That is what we want: a script also uses keys that it does not name, and would fail
    half way at the first that has left. So a queue stands still while it moves.
    """
    if database:
        call = structs.replace(
            call,
            keys=tuple(keys.in_database(key, database) for key in call.keys),
            args=tuple(keys.in_database(word, database) for word in call.args),
        )
    if not call.is_script:
        return (call.name, *call.keys, *call.args)
    loaded = script(call.name)
    if len(call.keys) != loaded.key_count:
        raise ValueError(f"{call.name} takes {loaded.key_count} keys, got {len(call.keys)}")
    if in_cluster:
        guard = keys.absent(call.keys[0])
        return ("EVALSHA", loaded.sha, loaded.key_count + 1, *call.keys, guard, *call.args)
    return ("EVALSHA", loaded.sha, loaded.key_count, *call.keys, *call.args)


def pack(call: Call[Any], *, in_cluster: bool = False, database: int = 0) -> bytes:
    """Encode a call as it goes over the wire.

    Callers do this before a call joins others, so that one that can't be encoded fails alone.

    Raises:
        InvalidInput: an argument has no form that Redis takes (text with a lone surrogate, say).
    """
    try:
        return hiredis.pack_command(words(call, in_cluster=in_cluster, database=database))  # type: ignore[arg-type, no-any-return]  # its stub
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"`{call.name}` can't be sent to Redis: {error}") from error


def pack_words(*command: Word) -> bytes:
    """Encode a command: redis-py's own packing took a quarter of a busy worker's time.

    Raises:
        InvalidInput: as `pack`.
    """
    return pack(Call(str(command[0]), (), command[1:], parse=bytes, is_script=False))


def pack_load() -> list[bytes]:
    """SCRIPT LOAD for all: one that is missing among others is called after those behind it."""
    return [pack_words("SCRIPT", "LOAD", script(name).source) for name in names()]


def check_loaded(replies: Sequence[Any]) -> None:
    """Raise what keeps the scripts from being loaded."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(
                reply, Call("SCRIPT LOAD", (), (), lambda reply: reply, is_script=False)
            )


def unsent_bytes(socket_number: int) -> int:
    """How much of what was sent the other side has not confirmed; 0 where the kernel can't say.

    A slow link drains megabytes from the kernel's buffer long after they were written. This shows
    that they move.
    """
    if ioctl is None:
        return 0
    try:
        return int(struct.unpack("i", ioctl(socket_number, TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


def parse(call: Call[T], reply: Any) -> T:
    """Read the reply to a call.

    Raises:
        ReplyUnreadable: it is not what the protocol says.
        IdenttqueueError: as the call's parser says.
    """
    try:
        return call.parse(reply)
    except IdenttqueueError:
        raise
    except Exception as error:
        key = call.keys[0] if call.keys else ""
        raise ReplyUnreadable(call.name, key, type(error).__name__) from error


def missing_scripts(replies: Sequence[object]) -> list[int]:
    """Positions of the replies that tell of a script that Redis does not have; it did nothing.

    It forgets them with a restart, a failover and SCRIPT FLUSH.
    """
    missing = redis_errors.NoScriptError
    return [position for position, reply in enumerate(replies) if isinstance(reply, missing)]


def keeps_connection(error: Exception) -> bool:
    """Whether the connection is as good as before an error reply.

    A server that loads its data, or runs a long script, is the right one: a fleet that logged in
    again for each retry would only keep it busy. One that lost its rank may not be, and the same
    name may lead to another.
    """
    if isinstance(error, redis_errors.BusyLoadingError) or str(error).startswith("BUSY "):
        return True
    refused = isinstance(error, redis_errors.ConnectionError)  # the login too
    return not refused and not isinstance(translate(error), RedisUnavailable)


def translate(error: BaseException, call: Call[Any] | None = None) -> RedisError:
    """One of this library's errors for one of redis-py's, which came in reply to the call."""
    text = str(error)
    if isinstance(error, RedisError):
        return error
    if (refusal := _refusal(error, call)) is not None:
        return refusal
    if isinstance(error, redis_errors.InvalidResponse | MemoryError):
        what = text or "a reply does not fit into memory"
        return RedisProtocolError(f"what answers is no Redis, or says too much: {what}")
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM command not allowed" in text:
        return RedisFull(f"Redis is full, nothing was written: {text}")
    if isinstance(error, (*CONNECTION_LOST, *_PASSING)) or _PASSING_TEXT.match(text):
        return RedisUnavailable(f"Redis can't be reached: {text or type(error).__name__}")
    return RedisError(text)


def _refusal(error: BaseException, call: Call[Any] | None) -> RedisError | None:
    """What has to do with who we are: ACL, login and certificates."""
    text = str(error)
    for cause in _causes(error):  # redis-py wraps all that happens while it connects
        if isinstance(cause, RedisAddressRefused):
            return cause
    if isinstance(error, redis_errors.NoPermissionError) or _FORBIDDEN_TEXT.match(text):
        return RedisAuthFailed(_forbidden(text, call))
    if isinstance(error, redis_errors.AuthenticationError):
        return RedisAuthFailed(
            f"Redis refused the login: {text}. Check user name, password and ACL"
        )
    tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if tls is not None and not isinstance(tls, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return RedisTlsFailed(tls_trouble(text))
    return None


_SCRIPT_LINE: Final = re.compile(r"@user_script: ?(\d+)")
_SCRIPT_COMMAND: Final = re.compile(r"redis\.call\('([A-Z]+)'")


def _forbidden(text: str, call: Call[Any] | None) -> str:
    doing, command = "", "a command"
    if call is not None:
        doing = f" in `{call.name}`" + (f" on {call.keys[0]}" if call.keys else "")
        line = _SCRIPT_LINE.search(text) if call.is_script else None
        if line is not None:  # before 7.2 that is all that is said of the command
            source = script(call.name).source.splitlines()[int(line[1]) - 1]
            command = " or ".join(_SCRIPT_COMMAND.findall(source)) or command
    return (
        f"Redis refused {command}{doing}: {text}. Check user name, password and ACL: docs/redis.md "
        "lists what each role needs"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from: redis-py wraps what the TLS layer says."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


_TLS_HINTS: Final = {
    "CERTIFICATE_VERIFY_FAILED": "The server's certificate is refused: check tls_ca_file, the host "
    "name in the address and the certificate's dates",
    "WRONG_VERSION_NUMBER": "The server does not speak TLS on this port: redis://, not rediss://",
    "CERTIFICATE_REQUIRED": "The server wants a client certificate: give tls_cert_file and "
    "tls_key_file",
    "CERTIFICATE_EXPIRED": "The server refuses our client certificate: it has expired",
    "UNKNOWN_CA": "The server refuses our client certificate: it does not know its authority",
    "KEY_VALUES_MISMATCH": "tls_key_file is not the key of tls_cert_file",
}


def tls_trouble(text: str) -> str:
    """What the TLS layer says, and what to do about it."""
    hints = [hint for word, hint in _TLS_HINTS.items() if word in text.upper().replace(" ", "_")]
    return f"no TLS connection to Redis: {text}. {hints[0] if hints else 'Check the TLS files'}"


_LOGGED_IN: Final[set[RedisSettings]] = set()
"""Settings that have worked in this process and whose files may change."""


def note_login(settings: RedisSettings) -> None:
    """These settings work."""
    if settings.rereads_credentials:
        _LOGGED_IN.add(settings)


def as_outage(error: RedisError, settings: RedisSettings) -> RedisError:
    """A refusal of what worked before, as an outage: credentials are being rotated.

    Files are read at each login, and a mounted Secret follows a rotation by up to a minute: so
    trying again may help. What never worked is wrong.
    """
    if isinstance(error, RedisAuthFailed | RedisTlsFailed) and settings in _LOGGED_IN:
        return RedisUnavailable(f"{error}; its file is read again")
    return error


def check_master(role: list[Any], server: Server) -> None:
    """Refuse a server that the Sentinels still name, and that has been demoted.

    Raises:
        RedisUnavailable: it is a replica.
    """
    if role[0] != b"master":
        raise RedisUnavailable(
            f"Redis can't be reached: the Sentinels name {server}, which is a replica; a failover "
            "is under way"
        )


def fail(error: BaseException) -> NoReturn:
    """Raise the translated error."""
    raise translate(error) from error
