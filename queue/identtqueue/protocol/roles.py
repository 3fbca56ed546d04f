"""The Redis ACL rules of each role, derived from the scripts that it runs.

Which scripts these are follows from their callers in `protocol/states.py`.

Redis checks the commands inside a script against the ACL of the user that calls it. So a role needs
all commands of all its scripts. That list can't be kept by hand: `identtqueue acl ROLE` prints it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

from identtqueue.protocol import keys, scripts
from identtqueue.protocol.states import CALLERS
from identtqueue.task import check_queue_name


class Role(enum.Enum):
    """The role of a user of Redis."""

    PRODUCER = "producer"
    WORKER = "worker"
    OPERATOR = "operator"
    ADMIN = "admin"
    BRIDGE = "bridge"


_CONNECTION: Final = ("info", "client|setname", "select", "evalsha", "script|load")
"""Commands of every connection: to check the version, set its name and database, run scripts."""
_LISTENING: Final = ("subscribe", "unsubscribe", "ping")
_TOPOLOGY: Final = ("role", "cluster|slots", "asking")
"""`role` is for servers behind Sentinels, the others are for clusters."""

_ACTING_AS: Final[Mapping[str, tuple[Role, ...]]] = {
    "client": (Role.PRODUCER,),
    **dict.fromkeys(("worker", "fetch", "finish", "shutdown", "upkeep", "cron"), (Role.WORKER,)),
    "operator": (Role.OPERATOR, Role.ADMIN),  # an administrator may do by hand what it does
    "admin": (Role.ADMIN,),
}
"""The users of Redis as whom each part of the system calls its scripts."""

SCRIPTS: Final[dict[Role, tuple[str, ...]]] = {
    role: tuple(
        name for name, callers in CALLERS.items() if any(role in _ACTING_AS[c] for c in callers)
    )
    for role in Role
}
"""The scripts that each role runs: those of its parts of the system."""
# A bridge to 0.2 is a worker, and it awaits results as a client does.
SCRIPTS[Role.BRIDGE] = (*SCRIPTS[Role.WORKER], "await", *scripts.names(scripts.BRIDGE))

_PLAIN: Final[dict[Role, tuple[str, ...]]] = {
    Role.PRODUCER: ("hmget",),
    Role.WORKER: ("blpop", "get", "hmget", "lrange", "zrangebyscore", "pubsub|numsub"),
    Role.OPERATOR: ("zrangebyscore", "pubsub|numsub"),
    Role.ADMIN: (
        *("hgetall", "hmget", "hstrlen", "lrange", "time", "zrevrange", "zrangebyscore"),
        "pubsub|numsub",
    ),
}
_PLAIN[Role.BRIDGE] = (*_PLAIN[Role.WORKER], "blmove", "zrange", "lindex", "lpos")


def script_commands(role: Role) -> list[str]:
    """List the commands inside the scripts that a role runs, in alphabetical order."""
    return sorted(set().union(*(scripts.script(name).commands for name in SCRIPTS[role])))


def plain_commands(role: Role) -> list[str]:
    """List the commands of a role outside of scripts, without those that have subcommands."""
    return sorted(name.upper() for name in _PLAIN[role] if "|" not in name)


def rules(role: Role, queues: Sequence[str] = ()) -> list[str]:
    """List the ACL rules of a role: the words after `ACL SETUSER name on >password`.

    Args:
        role: the user's role. An application that also administrates needs the rules of both.
        queues: the queues that the user may access; empty: all.

    Raises:
        InvalidQueueName: a queue's name breaks the rule.
    """
    places = [f"{{{check_queue_name(queue)}}}:" for queue in queues] or [""]
    old_keys = keys.old_patterns(queues) if role is Role.BRIDGE else []
    inside = (command.lower() for command in script_commands(role))
    commands = {*_CONNECTION, *_LISTENING, *_TOPOLOGY, *_PLAIN[role], *inside}
    channels = [f"{keys.ROOT}:{place}*" for place in places]
    registry = [f"~{keys.QUEUES}"] if queues and role is not Role.OPERATOR else []
    if queues:
        channels += [keys.CONTROL_PREFIX + "*", keys.REPLY_PREFIX + "*"]
    return [
        "resetkeys",
        *(f"~{keys.ROOT}:{place}*" for place in places),
        *registry,
        *(f"~{pattern}" for pattern in old_keys),
        "resetchannels",
        *(f"&{channel}" for channel in channels),
        "-@all",
        *(f"+{command}" for command in sorted(commands)),
    ]
