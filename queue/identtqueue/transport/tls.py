"""Why a TLS connection came to nothing, when the connection itself did not get to hear it.

In TLS 1.3 a client has finished its handshake before the server has looked at the client's
certificate; a refusal follows later, and what the client has sent meanwhile makes the server's
kernel reset the connection, refusal and all. So ask again and say nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Final

from redis.asyncio.connection import RedisSSLContext

from identtqueue.errors import RedisAddressRefused, RedisTlsFailed
from identtqueue.transport import wire
from identtqueue.transport.address import Server
from identtqueue.transport.offload import resolve_blocking
from identtqueue.transport.settings import RedisSettings

SECONDS: Final = 1.0
"""For each of the two questions; a server that has nothing against us keeps silent."""


def find_trouble(settings: RedisSettings, server: Server) -> RedisTlsFailed | None:
    """What has to do with TLS, if that is the trouble; None: it is not, or is not to be found."""
    try:
        with _connect(settings, server) as plain:
            try:
                _listen(settings, server, plain)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError):
                pass
            except ssl.SSLError as error:
                return RedisTlsFailed(wire.tls_trouble(str(error)))
        with _connect(settings, server) as plain:
            plain.settimeout(SECONDS)
            plain.sendall(b"PING\r\n")
            if plain.recv(1) in (b"+", b"-"):
                return RedisTlsFailed(wire.tls_trouble("WRONG_VERSION_NUMBER"))
    except (OSError, RedisAddressRefused):
        pass
    return None


def _connect(settings: RedisSettings, server: Server) -> socket.socket:
    """Connect anew. The name may lead elsewhere by now, so the rule for addresses holds here too.

    Raises:
        OSError: nobody answers.
        RedisAddressRefused: none of the addresses may be connected to.
    """
    addresses = resolve_blocking(server.host, server.port, SECONDS)
    if settings.reach is not None:
        addresses = settings.reach.permitted(server.host, addresses)
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, server.port), SECONDS / len(addresses))
    return socket.create_connection((addresses[-1], server.port), SECONDS)


def _listen(settings: RedisSettings, server: Server, plain: socket.socket) -> None:
    """Shake hands, and hear what the server has to say."""
    # As redis-py's connections, with their defaults.
    options: dict[str, Any] = {"cert_reqs": "required", "check_hostname": True}
    for name, value in settings.connection_arguments(server).items():
        if name.startswith("ssl_"):
            options[name.removeprefix("ssl_")] = value
    context = RedisSSLContext(**options).get()
    with context.wrap_socket(plain, server_hostname=server.host) as link:
        link.settimeout(SECONDS)
        link.recv(1)
