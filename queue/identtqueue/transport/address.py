"""Redis addresses: of one server, of the Sentinels that watch it, or of nodes of a cluster."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from redis.connection import parse_url

from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.embedded.place import ServerPlace

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
LONGEST_HOST: Final = 253
"""Upper bound for the characters of a host name, which is that of DNS."""

FORMS: Final = (
    "redis://host:port/db, "
    "redis+sentinel://host:port,host:port/master-name/db, redis+cluster://host:port,host:port, "
    "unix:///path or embedded"
)


class Topology(enum.Enum):
    """The kind of deployment that an address stands for."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Server(msgspec.Struct, frozen=True):
    """Host and port of one server, Sentinel or node of a cluster."""

    host: str
    port: int

    @classmethod
    def announced(cls, host: object, port: object) -> Server:
        """Check an address that a node of a cluster or a Sentinel has announced.

        Args:
            host: host name or IP address.
            port: port number.

        Raises:
            ValueError: they are not a valid host and port.
        """
        if not isinstance(host, str) or not 0 < len(host) <= LONGEST_HOST:
            raise ValueError("no host")
        if not isinstance(port, int) or not 0 < port < 65_536:
            raise ValueError("no port")
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address(msgspec.Struct, frozen=True):
    """The parts of an address.

    Attributes:
        topology: whether `servers` are the server itself, Sentinels, or some nodes of a cluster.
        uses_tls: whether all connections use TLS, including those to Sentinels.
        servers: at least one; empty for a socket file.
        master_name: the name by which the Sentinels know the master; else empty.
        socket_file: path of a Unix socket, instead of a host and a port.
        options: keyword arguments for redis-py that the address contains: the database,
            credentials, and TLS options.
        embedded: the server that this address starts when somebody connects; None: it is there.
    """

    topology: Topology
    uses_tls: bool
    servers: tuple[Server, ...] = ()
    master_name: str = ""
    socket_file: str | None = None
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    embedded: ServerPlace | None = None

    def __repr__(self) -> str:
        """Leave out the options, since this may end up in logs, and they hold the password."""
        shown = [name for name in self.__struct_fields__ if name != "options"]
        return f"Address({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def complete(address: str) -> str:
    """Return the address with its scheme, and with the folder that `embedded` stands for.

    Raises:
        InvalidInput: the address of an embedded server can't be read.
    """
    if _is_embedded(address):
        return _place(address).address
    return address if "://" in address else f"redis://{address}"


def without_credentials(address: str) -> str:
    """Return the address without credentials, for logs and errors, even if it can't be read.

    If it is not certain which part is the password, only the scheme is shown.
    """
    scheme, _, rest = address.partition("://")
    before, _, after = rest.rpartition("@")
    if re.search("[?#]", before):  # from an option, or from a password that was not escaped
        return f"{scheme}://…"
    shown = re.split("[?#]", after)[0]
    hosts = shown.partition("/")[0].split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):  # perhaps `user:password` without a host
        return f"{scheme}://…"
    return f"{scheme}://{shown}"


def _is_embedded(address: str) -> bool:
    # A host of that name is `redis://embedded`.
    return address == "embedded" or address.startswith("embedded://")


_HOST: Final = re.compile(r"(\[[^\]]*\]?|[^:\[\]]*)(:\d+)?")
"""A name, an IPv4 or an IPv6 address, with or without a port."""


@lru_cache(maxsize=256)
def parse(address: str) -> Address:
    """Parse an address that is `complete`.

    Raises:
        InvalidInput: it can't be read. The message names the valid forms, and no credentials.
    """
    if _is_embedded(address):
        place = _place(address)
        return Address(
            Topology.STANDALONE, uses_tls=False, options={"db": place.database}, embedded=place
        )
    try:
        return _parse(address)
    except _Unescaped:
        raise InvalidInput(
            f"redis_address {without_credentials(address)!r} can't be read: it has a '#', or an "
            "'@' after a '/' or '?'. In a password percent-encode them ('#' as %23, '?' as %3F, "
            "'/' as %2F, '@' as %40), or give the password in IDENTTQUEUE_REDIS_PASSWORD, where "
            f"it needs no encoding; expected {FORMS}"
        ) from None
    except ValueError:  # the reason is left out: it may quote a password
        raise InvalidInput(
            f"redis_address {without_credentials(address)!r} can't be read: expected {FORMS}, "
            "with special characters of a password percent-encoded"
        ) from None


def _place(address: str) -> ServerPlace:
    from identtqueue.embedded.place import ServerPlace  # noqa: PLC0415 - other addresses don't need it

    return ServerPlace.parse(address)


class _Unescaped(ValueError):
    """A special character in the password ends the host part of the address too early."""


def _check_escaped(scheme: str, rest: str) -> None:
    """Refuse an address that would be cut off at a special character of its password.

    By the rules of URLs, `redis://me:12#34@host` is port 12 of a host `me`. So parts of the
    credentials would be sent to the resolver and be shown in errors.
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
    """Parse an address of one host with redis-py."""
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
    """Refuse what redis-py ignores: a database that is not a number, an unknown option."""
    parts = urlsplit(address)
    given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    names = given.keys() - {"db", "username", "password"}
    database = "" if is_file else parts.path.strip("/")
    if database and options.get("db") != int(database):
        raise ValueError("database")
    if not all(uses_tls and name.startswith("ssl_") for name in names):
        raise ValueError("option")
