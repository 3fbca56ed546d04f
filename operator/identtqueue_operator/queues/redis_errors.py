"""The meaning of an error of Redis: whose trouble it is, and its words in the status. Pure.

The status has one of a fixed set of sentences. Anybody who may write a TaskQueue can have the
operator connect somewhere, and reads its status. So a status must not repeat what answered there:
no banner, no error text, no names that it knows. The operator's log has all of that. The sentences
depend on codes that Redis is known to use; any other server can at most choose among them.
"""

import re

from identtqueue.errors import (
    IdenttqueueError,
    ProtocolMismatch,
    RedisAddressRefused,
    RedisAuthFailed,
    RedisFull,
    RedisProtocolError,
    RedisTlsFailed,
    RedisTooOld,
    RedisTopologyMismatch,
    RedisUnavailable,
)
from identtqueue_operator.model import SourceTrouble

_TROUBLES = (
    (RedisAddressRefused, SourceTrouble.ADDRESS_REFUSED),
    (RedisAuthFailed, SourceTrouble.AUTH_FAILED),
    (RedisTlsFailed, SourceTrouble.TLS_FAILED),
    (RedisTopologyMismatch, SourceTrouble.TOPOLOGY_MISMATCH),
    (RedisProtocolError, SourceTrouble.PROTOCOL_ERROR),
    (RedisUnavailable, SourceTrouble.UNREACHABLE),
    (RedisFull, SourceTrouble.FULL),
)

_OUR_WORDS = re.compile(r"it lets the operator in and ends the connection, again and again; [^;]*")
_REFUSED = re.compile(r"Redis refused (?:the login|[A-Za-z ]{1,60})( in `[A-Za-z_ ]+`)?")
_FIXED = (
    (
        RedisAddressRefused,
        "redis.allow does not permit this address, or one that the server redirects to",
    ),
    (RedisProtocolError, "what answers is not Redis, or its reply is too large"),
    (RedisFull, "Redis is full, nothing was written"),
    (RedisTooOld, "this Redis is too old: the operator needs 6.2 or newer"),
    (ProtocolMismatch, "the queue was written by an incompatible version of the library"),
)
_LOGIN = (
    ("WRONGPASS|invalid username|invalid password", "user name or password is wrong"),
    ("NOAUTH|Authentication required", "a password is required"),
    ("channel", "the user lacks a permission for a channel"),
    ("key", "the user lacks a permission for keys"),
    ("NOPERM|permission", "the user lacks a permission for a command"),
)
_UNREACHABLE = (
    (r"Errno -\d|not known|name resolution|nodename|No address", "its name can't be resolved"),
    ("LOADING", "it is loading its data"),
    ("READONLY|MASTERDOWN|replica", "it is a replica, or a failover is under way"),
    ("BUSY|UNKILLABLE", "it is busy running a script"),
    ("MISCONF|NOREPLICAS", "it refuses writes (MISCONF or NOREPLICAS)"),
    ("no Sentinel answers", "no Sentinel answers"),
    ("Sentinels see", "the Sentinels see the master down and have not promoted another yet"),
    ("CLUSTERDOWN|cluster|slot|TRYAGAIN", "its cluster does not serve all slots"),
    (r"[Rr]efused|Errno 111|Connect call failed", "the connection is refused"),
    (r"sign of life|[Tt]ime(d )?-?out", "no answer in time"),
    ("[Cc]losed|[Rr]eset|EOF|ended", "it ended the connection"),
)
_TOPOLOGY = (
    ("is a Sentinel", "this server is a Sentinel: use spec.redis.sentinel"),
    ("is a node", "this server is a node of a Redis Cluster: use spec.redis.cluster"),
    (
        "is no node",
        "this server is not a node of a Redis Cluster: use spec.redis.address or sentinel",
    ),
    ("needs the addresses of Sentinels", "spec.redis.sentinel needs the addresses of Sentinels"),
    ("knows a master", "no Sentinel knows a master of that name"),
)


def trouble_of(error: IdenttqueueError) -> SourceTrouble:
    """Return the condition's reason for an error of the library."""
    fits = (trouble for kind, trouble in _TROUBLES if isinstance(error, kind))
    return next(fits, SourceTrouble.INCOMPATIBLE)


def concerns_all(error: IdenttqueueError) -> bool:
    """Return whether an error concerns every TaskQueue at this Redis.

    A refused login does too, but looks like a refused queue; the poll finds out.
    """
    return isinstance(
        error,
        RedisUnavailable
        | RedisAddressRefused
        | RedisTlsFailed
        | RedisTopologyMismatch
        | RedisTooOld,
    )


def explain(error: IdenttqueueError) -> str:
    """Say what is wrong, in words of the operator."""
    fixed = next((words for kind, words in _FIXED if isinstance(error, kind)), None)
    if fixed is not None:
        return fixed
    text = str(error)
    match error:
        case RedisUnavailable():
            ours = _OUR_WORDS.match(text)
            why = ours[0] if ours else _first(_UNREACHABLE, text, "see the operator's log")
            return f"Redis can't be reached: {why}"
        case RedisAuthFailed():
            refused = _REFUSED.match(text)
            what = refused[0] if refused else "Redis refused the operator"
            why = _first(_LOGIN, text, "see the operator's log")
            return (
                f"{what}: {why}. Check user name, password and ACL: docs/redis.md lists what each "
                "role needs"
            )
        case RedisTopologyMismatch():
            return _first(_TOPOLOGY, text, "this address belongs to another kind of server")
    return _other(error, text)


def _other(error: IdenttqueueError, text: str) -> str:
    """Explain the remaining errors. The library's own words are fixed; an error reply's are not."""
    if type(error).__name__ != "RedisError":
        return text
    if "WRONGTYPE" in text:  # before Redis 7 behind the words for an error in a script
        return "a key of the queue is of another type (WRONGTYPE): something else writes to it"
    return "Redis refused a command; the operator's log has its answer"


def _first(table: tuple[tuple[str, str], ...], text: str, otherwise: str) -> str:
    return next((words for pattern, words in table if re.search(pattern, text)), otherwise)
