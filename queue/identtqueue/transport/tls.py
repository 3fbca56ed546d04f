"""Why a TLS connection came to nothing, when the connection itself did not get to hear it.

In TLS 1.3 a client has finished its handshake before the server has looked at the client's
certificate; a refusal follows later, and what the client has sent meanwhile makes the server's
kernel reset the connection, refusal and all. So ask again and say nothing.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

from redis.asyncio.connection import RedisSSLContext

from identtqueue.errors import RedisTlsFailed
from identtqueue.transport import wire
from identtqueue.transport.address import Server
from identtqueue.transport.settings import RedisSettings

SECONDS: Final = 1.0
"""For each of the two questions; a server that has nothing against us keeps silent."""


def find_trouble(settings: RedisSettings, server: Server) -> RedisTlsFailed | None:
    """What has to do with TLS, if that is the trouble; None: it is not, or is not to be found."""
    try:
        with socket.create_connection((server.host, server.port), SECONDS) as plain:
            try:
                _listen(settings, server, plain)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError):
                pass
            except ssl.SSLError as error:
                return RedisTlsFailed(wire.tls_trouble(str(error)))
        with socket.create_connection((server.host, server.port), SECONDS) as plain:
            plain.settimeout(SECONDS)
            plain.sendall(b"PING\r\n")
            if plain.recv(1) in (b"+", b"-"):
                return RedisTlsFailed(wire.tls_trouble("WRONG_VERSION_NUMBER"))
    except OSError:
        pass
    return None


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
