"""Calls and replies as bytes: what asyncio and blocking connections put on the wire."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import hiredis
from msgspec import structs
from redis import exceptions as redis_errors

from identtqueue.errors import IdenttqueueError, InvalidInput, ReplyUnreadable
from identtqueue.protocol import keys
from identtqueue.protocol.call import Call, Word
from identtqueue.protocol.scripts import needed, script
from identtqueue.transport import refusals

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
    if in_cluster and (guard := keys.absent(call.keys[0])):
        return ("EVALSHA", loaded.sha, loaded.key_count + 1, *call.keys, guard, *call.args)
    return ("EVALSHA", loaded.sha, loaded.key_count, *call.keys, *call.args)


def pack(call: Call[Any], *, in_cluster: bool = False, database: int = 0) -> bytes:
    """Encode a call for the wire.

    Connections do this before they put the call into a batch, so that a call that can't be encoded
    fails alone.

    Args:
        call: the call.
        in_cluster: see `words`.
        database: see `words`.

    Raises:
        InvalidInput: an argument can't be encoded (text with a lone surrogate, say).
    """
    if call.is_kept:
        return _pack_once(call, in_cluster, database)
    return _pack(call, in_cluster, database)


def _pack(call: Call[Any], in_cluster: bool, database: int) -> bytes:
    try:
        return hiredis.pack_command(words(call, in_cluster=in_cluster, database=database))  # type: ignore[arg-type, no-any-return]  # its stub
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"`{call.name}` can't be sent to Redis: {error}") from error


_pack_once: Final = lru_cache(maxsize=128)(_pack)


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
    return [pack_words("SCRIPT", "LOAD", script(name).source) for name in needed()]


def check_loaded(replies: Sequence[Any]) -> None:
    """Raise the first error among the replies to SCRIPT LOAD.

    Raises:
        RedisError: the script could not be loaded.
    """
    for reply in replies:
        if isinstance(reply, Exception):
            raise refusals.translate(
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
