"""Where Redis is and how to log in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from redis.connection import parse_url

from identtqueue.errors import InvalidInput

DEFAULT_ADDRESS: Final = "redis://localhost:6379"
RETRY_FOR_SECONDS: Final = 30.0
"""How long a client's call outlasts a Redis outage: a restart with AOF, or a failover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Address and credentials of one Redis.

    Attributes:
        address: `redis://host:port/db`, `rediss://…` for TLS, `unix:///path`. Credentials may
            stand in it; in a pod, prefer the environment (`from_environment`).
        username, password: used where the address has none.
        tls_ca_file: PEM file of the authority that signed the server's certificate.
        tls_cert_file, tls_key_file: client certificate, if the server wants one.
        connect_timeout_seconds: for the TCP and TLS handshake and the login.
        response_timeout_seconds: a reply that takes longer counts as a lost connection: this is
            how a half-open connection is noticed.
    """

    address: str = DEFAULT_ADDRESS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    connect_timeout_seconds: float = 5.0
    response_timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.address, str):
            raise InvalidInput(f"redis_address must be text, not {type(self.address).__name__}")
        if "://" not in self.address:
            object.__setattr__(self, "address", f"redis://{self.address}")
        self.connection_arguments()

    def __repr__(self) -> str:
        """Without credentials: this ends up in logs."""
        return f"RedisSettings({self.safe_address})"

    @classmethod
    def of(cls, redis: str | RedisSettings | None) -> RedisSettings:
        """Settings from an address; None: from the environment."""
        if isinstance(redis, RedisSettings):
            return redis
        return cls.from_environment() if redis is None else cls(address=redis)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> RedisSettings:
        """`IDENTTQUEUE_REDIS_ADDRESS`, `…_USERNAME`, `…_PASSWORD`, `…_TLS_CA_FILE`."""
        name = "IDENTTQUEUE_REDIS_"
        return cls(
            address=environment.get(name + "ADDRESS") or DEFAULT_ADDRESS,
            username=environment.get(name + "USERNAME") or None,
            password=environment.get(name + "PASSWORD") or None,
            tls_ca_file=environment.get(name + "TLS_CA_FILE") or None,
        )

    def with_environment_credentials(self) -> RedisSettings:
        """The same address, with the environment's credentials where it has none of its own."""
        found = RedisSettings.from_environment()
        return replace(
            self,
            username=self.username or found.username,
            password=self.password or found.password,
            tls_ca_file=self.tls_ca_file or found.tls_ca_file,
        )

    @property
    def safe_address(self) -> str:
        """The address without credentials, also if it can't be read."""
        scheme, _, rest = self.address.partition("://")
        before, _, after = rest.rpartition("@")
        if "?" in before:  # of an option, or of a password that should have been escaped
            return f"{scheme}://…"
        return f"{scheme}://{re.split('[?#]', after)[0]}"

    def connection_arguments(self) -> dict[str, Any]:
        """Keyword arguments for redis-py's connection classes, blocking and asyncio alike.

        Raises:
            InvalidInput: the address can't be read.
        """
        try:
            arguments: dict[str, Any] = dict(parse_url(self.address))
            readable = self._is_complete(arguments)
        except ValueError:
            readable = False
        if not readable:  # without the reason: it may quote a password
            raise InvalidInput(
                f"redis_address {self.safe_address!r} can't be read: expected "
                "redis://host:port/db, with special characters of a password percent-encoded"
            ) from None
        arguments.pop("connection_class", None)
        if self.username and not arguments.get("username"):
            arguments["username"] = self.username
        if self.password and not arguments.get("password"):
            arguments["password"] = self.password
        if self.uses_tls:
            files = {
                "ssl_ca_certs": self.tls_ca_file,
                "ssl_certfile": self.tls_cert_file,
                "ssl_keyfile": self.tls_key_file,
            }
            arguments |= {name: file for name, file in files.items() if file}
        return arguments

    def _is_complete(self, arguments: Mapping[str, Any]) -> bool:
        """Whether redis-py has understood all of it: the database, and each option behind `?`."""
        parts = urlsplit(self.address)
        options = parse_qs(parts.query).keys() - {"db", "username", "password"}
        database = "" if self.uses_socket_file else parts.path.strip("/")
        return (not database or arguments.get("db") == int(database)) and all(
            self.uses_tls and name.startswith("ssl_") for name in options
        )

    @property
    def uses_tls(self) -> bool:
        """Whether the address says `rediss://`."""
        return self.address.startswith("rediss://")

    @property
    def uses_socket_file(self) -> bool:
        """Whether the address says `unix://`."""
        return self.address.startswith("unix://")
