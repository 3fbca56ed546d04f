"""The code that asyncio and blocking connections share: encode calls, read replies and errors."""

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
from identtqueue.protocol.call import Call, Word
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
"""Upper bound for one batch, unless a single call is larger. It bounds how long later calls wait,
and how much is sent again if the connection is lost in the middle of a batch."""

SMALL_BYTES: Final = 64 * 1024
"""A larger call is a big one. Small calls go before big ones."""

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
    redis_errors.AskError,  # MOVED too; they come here only if they can't be followed
)
_PASSING_TEXT: Final = re.compile(
    r"(BUSY|UNKILLABLE|UNBLOCKED|NOREPLICAS|MISCONF) |.* -(READONLY|NOREPLICAS|MISCONF) "
)
"""Texts of passing errors for which redis-py has no class: a script runs for too long; a master was
demoted during a blocked call; `min-replicas-to-write`; a disk is full. The second part matches
Redis 6.2, which quotes an error that a command gets inside a script in a longer text."""
_FORBIDDEN_TEXT: Final = re.compile(r"NOPERM|.*(ACL failure in script|executing the script can't)")
"""Texts of errors for a missing permission. Inside a script, newer and older servers word it
differently."""

_BACKOFF: Final = EqualJitterBackoff(base=0.05, cap=2.0)


def backoff_seconds(failures: int) -> float:
    """Compute the pause after this many failures in a row.

    Its upper bound is 100 ms after the first failure, and doubles with each further one, up to 2 s.
    The pause is random, between half of the bound and all of it. That holds at 2 s too, so that a
    fleet does not return in step after a long outage.
    """
    return float(_BACKOFF.compute(min(failures, 16)))  # 2**16 is past the cap


def words(call: Call[Any], *, in_cluster: bool = False, database: int = 0) -> tuple[Word, ...]:
    """Return the words of the Redis command for a call.

    In a cluster, a script gets one more key, which never exists. While a slot moves from node to
    node, key by key, Redis refuses a command with several keys if one is missing (TRYAGAIN). That
    is intended: a script also uses keys that it does not name, and would fail in the middle at the
    first one that has moved. So a queue stands still while its slot moves.

    Args:
        call: the call.
        in_cluster: whether it is sent to a cluster.
        database: number of the database, which is put into the names of channels.

    Raises:
        ValueError: the script takes another number of keys.
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
    """Encode a call for the wire.

    Connections do this before they put the call into a batch, so that a call that can't be encoded
    fails alone.

    Args:
        call: the call.
        in_cluster: see `redis_errors`.
        database: see `redis_errors`.

    Raises:
        InvalidInput: an argument can't be encoded (text with a lone surrogate, say).
    """
    try:
        return hiredis.pack_command(words(call, in_cluster=in_cluster, database=database))  # type: ignore[arg-type, no-any-return]  # its stub
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"`{call.name}` can't be sent to Redis: {error}") from error


def pack_words(*command: Word) -> bytes:
    """Encode a plain command.

    This replaces redis-py's own packing, which took a quarter of a busy worker's time.

    Raises:
        InvalidInput: a word can't be encoded; see `pack`.
    """
    return pack(Call(str(command[0]), (), command[1:], parse=bytes, is_script=False))


def pack_load() -> list[bytes]:
    """Encode one SCRIPT LOAD for each script.

    All are loaded at once, since each further missing script would delay its call again, behind the
    calls after it.
    """
    return [pack_words("SCRIPT", "LOAD", script(name).source) for name in names()]


def check_loaded(replies: Sequence[Any]) -> None:
    """Raise the first error among the replies to SCRIPT LOAD.

    Raises:
        RedisError: the script could not be loaded.
    """
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(
                reply, Call("SCRIPT LOAD", (), (), lambda reply: reply, is_script=False)
            )


def unsent_bytes(socket_number: int) -> int:
    """Ask the kernel how many sent bytes the other side has not acknowledged; 0 if it can't say.

    On a slow link, megabytes leave the kernel's buffer long after they were written. This number
    shows that they move.
    """
    if ioctl is None:
        return 0
    try:
        return int(struct.unpack("i", ioctl(socket_number, TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


def parse(call: Call[T], reply: Any) -> T:
    """Parse the reply to a call.

    Args:
        call: the call.
        reply: its raw reply.

    Raises:
        ReplyUnreadable: the reply has not the form that the protocol specifies.
        IdenttqueueError: an error that the call's parser raises itself.
    """
    try:
        return call.parse(reply)
    except IdenttqueueError:
        raise
    except Exception as error:
        key = call.keys[0] if call.keys else ""
        raise ReplyUnreadable(call.name, key, type(error).__name__) from error


def missing_scripts(replies: Sequence[object]) -> list[int]:
    """List the positions of the replies that report a missing script (NOSCRIPT).

    Such a call did nothing. Redis forgets its scripts after a restart, a failover or SCRIPT FLUSH.
    """
    missing = redis_errors.NoScriptError
    return [position for position, reply in enumerate(replies) if isinstance(reply, missing)]


def keeps_connection(error: Exception) -> bool:
    """Return whether a connection can be kept after this error reply.

    It can if the server loads its data or runs a long script: a new login for each retry would only
    keep it busier. It can't if the server was demoted, since the same name may lead to the new
    master now.
    """
    if isinstance(error, redis_errors.BusyLoadingError) or str(error).startswith("BUSY "):
        return True
    refused = isinstance(error, redis_errors.ConnectionError)  # includes a refused login
    return not refused and not isinstance(translate(error), RedisUnavailable)


def translate(error: BaseException, call: Call[Any] | None = None) -> RedisError:
    """Translate an error of redis-py to one of this library.

    Args:
        error: the error.
        call: the call that got it, to name it in the text.
    """
    text = str(error)
    if isinstance(error, RedisError):
        return error
    if (refusal := _refusal(error, call)) is not None:
        return refusal
    if isinstance(error, redis_errors.InvalidResponse | MemoryError):
        what = text or "a reply does not fit into memory"
        return RedisProtocolError(f"the server is not Redis, or its reply is too large: {what}")
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM command not allowed" in text:
        return RedisFull(f"Redis is full, nothing was written: {text}")
    if isinstance(error, (*CONNECTION_LOST, *_PASSING)) or _PASSING_TEXT.match(text):
        return RedisUnavailable(f"Redis can't be reached: {text or type(error).__name__}")
    return RedisError(text)


def _refusal(error: BaseException, call: Call[Any] | None) -> RedisError | None:
    """Translate an error that refuses us: address, ACL, login or certificate; None for others."""
    text = str(error)
    for cause in _causes(error):  # redis-py wraps every error that occurs while it connects
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
        if line is not None:  # before 7.2 the text does not name the command, only its line
            source = script(call.name).source.splitlines()[int(line[1]) - 1]
            command = " or ".join(_SCRIPT_COMMAND.findall(source)) or command
    return (
        f"Redis refused {command}{doing}: {text}. Check user name, password and ACL: docs/redis.md "
        "lists what each role needs"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and its causes, since redis-py wraps the errors of the TLS layer."""
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
    """Describe an error of the TLS layer, with a hint what to do about it."""
    hints = [hint for word, hint in _TLS_HINTS.items() if word in text.upper().replace(" ", "_")]
    return f"no TLS connection to Redis: {text}. {hints[0] if hints else 'Check the TLS files'}"


_LOGGED_IN: Final[set[RedisSettings]] = set()
"""Settings that have worked in this process and whose credential files may change."""


def note_login(settings: RedisSettings) -> None:
    """Remember that a login with these settings has worked."""
    if settings.rereads_credentials:
        _LOGGED_IN.add(settings)


def as_outage(error: RedisError, settings: RedisSettings) -> RedisError:
    """Turn the refusal of a login that worked before into an outage, which is retried.

    The credentials may be in rotation. Files are read at each login, and a mounted Secret follows a
    rotation by up to a minute, so a retry may help. A login that never worked stays refused.

    Args:
        error: the error of the login.
        settings: the settings of the connection.
    """
    if isinstance(error, RedisAuthFailed | RedisTlsFailed) and settings in _LOGGED_IN:
        return RedisUnavailable(f"{error}; its file is read again")
    return error


def check_master(role: list[Any], server: Server) -> None:
    """Refuse a server that the Sentinels still name although it was demoted.

    Args:
        role: the reply to `ROLE`.
        server: the server that gave it.

    Raises:
        RedisUnavailable: the server is a replica.
    """
    if role[0] != b"master":
        raise RedisUnavailable(
            f"Redis can't be reached: the Sentinels name {server}, which is a replica; a failover "
            "is under way"
        )


def fail(error: BaseException) -> NoReturn:
    """Raise the translation of an error."""
    raise translate(error) from error
