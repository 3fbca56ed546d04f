"""Redis addresses: one server, Sentinels that know it, or the nodes of a cluster."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from redis.connection import parse_url

from identtqueue.errors import InvalidInput

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
LONGEST_HOST: Final = 253
"""Characters of a host name, as DNS has it."""

FORMS: Final = (
    "redis://host:port/db, "
    "redis+sentinel://host:port,host:port/master-name/db or redis+cluster://host:port,host:port"
)


class Topology(enum.Enum):
    """How the servers belong together."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Server:
    """One process to connect to."""

    host: str
    port: int

    @classmethod
    def announced(cls, host: object, port: object) -> Server:
        """Take an address from a node of a cluster, or from a Sentinel.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(host, str) or not 0 < len(host) <= LONGEST_HOST:
            raise ValueError("no host")
        if not isinstance(port, int) or not 0 < port < 65_536:
            raise ValueError("no port")
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """An address, read.

    Attributes:
        topology: what `servers` are: the server itself, Sentinels, or some nodes of a cluster.
        uses_tls: of all connections, those to Sentinels too.
        servers: at least one; none for a socket file.
        master_name: by which the Sentinels know the server.
        socket_file: its path, instead of a host and a port.
        options: keyword arguments for redis-py that the address gives: the database, credentials,
            and TLS options.
    """

    topology: Topology
    uses_tls: bool
    servers: tuple[Server, ...] = ()
    master_name: str = ""
    socket_file: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def without_credentials(address: str) -> str:
    """The address as it may be shown, also if it can't be read.

    Where it is not certain which part is the password, only the scheme is shown.
    """
    scheme, _, rest = address.partition("://")
    before, _, after = rest.rpartition("@")
    if re.search("[?#]", before):  # of an option, or of a password that should have been escaped
        return f"{scheme}://…"
    shown = re.split("[?#]", after)[0]
    hosts = shown.partition("/")[0].split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):  # perhaps `user:password` without a host
        return f"{scheme}://…"
    return f"{scheme}://{shown}"


_HOST: Final = re.compile(r"(\[[^\]]*\]?|[^:\[\]]*)(:\d+)?")
"""A name, an IPv4 or an IPv6 address, with a port or without."""


@lru_cache(maxsize=256)
def parse(address: str) -> Address:
    """Read an address.

    Raises:
        InvalidInput: it can't be read; the message names the forms, and no credentials.
    """
    try:
        return _parse(address)
    except _Unescaped:
        raise InvalidInput(
            f"redis_address {without_credentials(address)!r} can't be read: it has a '#', or an "
            "'@' behind a '/' or '?'. In a password percent-encode them ('#' as %23, '?' as %3F, "
            "'/' as %2F, '@' as %40), or give the password in IDENTTQUEUE_REDIS_PASSWORD, where "
            f"it needs no encoding; expected {FORMS}"
        ) from None
    except ValueError:  # without the reason: it may quote a password
        raise InvalidInput(
            f"redis_address {without_credentials(address)!r} can't be read: expected {FORMS}, "
            "with special characters of a password percent-encoded"
        ) from None


class _Unescaped(ValueError):
    """A character of the password ends the address's host part too early."""


def _check_escaped(scheme: str, rest: str) -> None:
    """Refuse an address that would be cut where its password has a special character.

    `redis://me:12#34@host` is, by the rules of URLs, port 12 of a host `me`: the password would be
    sent to the resolver and be shown in errors.
    """
    ends = "?#" if scheme == "unix" else "/?#"  # the name of a socket file may hold an '@'
    behind = re.split(f"[{ends}]", rest, maxsplit=1)[1:]
    if "#" in rest or any("@" in text for text in behind):
        raise _Unescaped


def _parse(address: str) -> Address:
    scheme, _, rest = address.partition("://")
    _check_escaped(scheme, rest)
    base, _, kind = scheme.partition("+")
    if not kind:
        return _plain(address, Topology.STANDALONE)
    topology = Topology(kind)
    if base not in ("redis", "rediss") or topology is Topology.STANDALONE:
        raise ValueError(scheme)
    place, mark, query = rest.partition("?")
    place, _, path = place.partition("/")
    credentials, at, hosts = place.rpartition("@")
    master_name, database = "", ""
    if topology is Topology.SENTINEL:
        name, _, database = path.partition("/")
        master_name = unquote(name)
        if not master_name:
            raise ValueError("no master name")
    elif path.strip("/"):
        raise ValueError("a cluster has one database")
    default_port = SENTINEL_PORT if topology is Topology.SENTINEL else REDIS_PORT
    each = [
        _plain(f"{base}://{credentials}{at}{host}/{database}{mark}{query}", topology, default_port)
        for host in hosts.split(",")
    ]
    if not all(hosts.split(",")):
        raise ValueError("a host is missing")
    if each[0].options.get("db", 0) and not database:
        raise ValueError("the database stands in the path")
    servers = tuple(server for one in each for server in one.servers)
    return Address(topology, base == "rediss", servers, master_name, None, each[0].options)


def _plain(address: str, topology: Topology, port: int = REDIS_PORT) -> Address:
    """One host, as redis-py reads it."""
    options: dict[str, Any] = dict(parse_url(address))
    uses_tls = address.startswith("rediss://")
    socket_file = options.pop("path", None)
    _check_complete(address, options, uses_tls=uses_tls, is_file=address.startswith("unix://"))
    options.pop("connection_class", None)
    if "," in options.get("host", ""):
        raise ValueError("several hosts need a scheme that says what they are")
    server = Server(options.pop("host", "localhost"), options.pop("port", port))
    servers = () if address.startswith("unix://") else (server,)
    return Address(topology, uses_tls, servers, "", socket_file, options)


def _check_complete(
    address: str, options: Mapping[str, Any], *, uses_tls: bool, is_file: bool
) -> None:
    """Refuse what redis-py overlooks: a database that is no number, an unknown option."""
    parts = urlsplit(address)
    given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    names = given.keys() - {"db", "username", "password"}
    database = "" if is_file else parts.path.strip("/")
    if database and options.get("db") != int(database):
        raise ValueError("database")
    if not all(uses_tls and name.startswith("ssl_") for name in names):
        raise ValueError("option")
