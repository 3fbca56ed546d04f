"""Errors of Redis, translated to those of this library.

Some are exceptions that redis-py raises, others are error replies. The translation answers three
questions of a connection: whether the call may be sent again, whether the connection can be kept,
and what the user should read.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from redis import exceptions as redis_errors

from identtqueue.errors import (
    RedisAddressRefused,
    RedisAuthFailed,
    RedisError,
    RedisFull,
    RedisProtocolError,
    RedisTlsFailed,
    RedisUnavailable,
)
from identtqueue.protocol.call import Call
from identtqueue.protocol.scripts import commands_in, script
from identtqueue.transport.tls import describe_trouble

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
"""Error replies that pass by themselves: the same call may succeed a moment later."""
_PASSING_TEXT: Final = (
    r"(BUSY|UNKILLABLE|UNBLOCKED|NOREPLICAS|MISCONF) |.* -(READONLY|NOREPLICAS|MISCONF) "
)
"""Texts of passing errors for which redis-py has no class: a script runs for too long; a master was
demoted during a blocked call; `min-replicas-to-write`; a disk is full. The second part matches
Redis 6.2, which quotes an error that a command gets inside a script in a longer text."""
_FORBIDDEN_TEXT: Final = r"NOPERM|.*(ACL failure in script|executing the script can't)"
"""Texts of errors for a missing permission. Inside a script, newer and older servers word it
differently."""


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
    if isinstance(error, (*CONNECTION_LOST, *_PASSING)) or re.match(_PASSING_TEXT, text):
        return RedisUnavailable(f"Redis can't be reached: {text or type(error).__name__}")
    return RedisError(text)


def _refusal(error: BaseException, call: Call[Any] | None) -> RedisError | None:
    """Translate an error that refuses us: address, ACL, login or certificate; None for others."""
    text = str(error)
    for cause in _causes(error):  # redis-py wraps every error that occurs while it connects
        if isinstance(cause, RedisAddressRefused):
            return cause
    if isinstance(error, redis_errors.NoPermissionError) or re.match(_FORBIDDEN_TEXT, text):
        return RedisAuthFailed(_forbidden(text, call))
    if isinstance(error, redis_errors.AuthenticationError):
        return RedisAuthFailed(
            f"Redis refused the login: {text}. Check user name, password and ACL"
        )
    tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if tls is not None and not isinstance(tls, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return RedisTlsFailed(describe_trouble(text))
    return None


def _forbidden(text: str, call: Call[Any] | None) -> str:
    doing, command = "", "a command"
    if call is not None:
        doing = f" in `{call.name}`" + (f" on {call.keys[0]}" if call.keys else "")
        line = re.search(r"@user_script: ?(\d+)", text) if call.is_script else None
        if line is not None:  # before 7.2 the text does not name the command, only its line
            source = script(call.name).source.splitlines()[int(line[1]) - 1]
            command = " or ".join(commands_in(source)) or command
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


def fail(error: BaseException) -> NoReturn:
    """Raise the translation of an error."""
    raise translate(error) from error
