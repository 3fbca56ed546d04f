"""The reason for a failed TLS connection, if the connection itself did not receive it.

In TLS 1.3 a client has finished its handshake before the server checks the client's certificate.
The refusal follows later. If the client has sent data meanwhile, the server's kernel resets the
connection, and the refusal is lost. So this module connects again and sends nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Final

from redis.asyncio.connection import RedisSSLContext

from identtqueue.errors import RedisAddressRefused, RedisTlsFailed
from identtqueue.transport.address import Server
from identtqueue.transport.offload import resolve_blocking
from identtqueue.transport.settings import RedisSettings

SECONDS: Final = 1.0
"""Time-out of each of the two attempts. A server that accepts us stays silent for that time."""


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


def describe_trouble(text: str) -> str:
    """Describe an error of the TLS layer, with a hint what to do about it."""
    hints = [hint for word, hint in _TLS_HINTS.items() if word in text.upper().replace(" ", "_")]
    return f"no TLS connection to Redis: {text}. {hints[0] if hints else 'Check the TLS files'}"


def find_trouble(settings: RedisSettings, server: Server) -> RedisTlsFailed | None:
    """Find out whether TLS is the reason for a failed connection.

    Args:
        settings: the settings of the failed connection.
        server: the server of the failed connection.

    Returns:
        The error to raise; None if TLS is not the reason, or if the reason can't be found.
    """
    try:
        with _connect(settings, server) as plain:
            try:
                _listen(settings, server, plain)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError):
                pass
            except ssl.SSLError as error:
                return RedisTlsFailed(describe_trouble(str(error)))
        with _connect(settings, server) as plain:
            plain.settimeout(SECONDS)
            plain.sendall(b"PING\r\n")
            if plain.recv(1) in (b"+", b"-"):
                return RedisTlsFailed(describe_trouble("WRONG_VERSION_NUMBER"))
    except (OSError, RedisAddressRefused):
        pass
    return None


def _connect(settings: RedisSettings, server: Server) -> socket.socket:
    """Connect anew. The name may resolve to other addresses now, so the rule is applied again.

    Raises:
        OSError: no address answers.
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
    """Do a TLS handshake, then read what the server sends."""
    # The options and defaults are those of redis-py's connections.
    options: dict[str, Any] = {"cert_reqs": "required", "check_hostname": True}
    for name, value in settings.connection_arguments(server).items():
        if name.startswith("ssl_"):
            options[name.removeprefix("ssl_")] = value
    context = RedisSSLContext(**options).get()
    with context.wrap_socket(plain, server_hostname=server.host) as link:
        link.settimeout(SECONDS)
        link.recv(1)
