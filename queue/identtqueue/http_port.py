"""A port for HTTP that is answered in threads, for probes and metrics."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from identtqueue.errors import InvalidInput


class HttpPort:
    """A server that answers in threads of its own from `start` on, also while others are busy.

    Args:
        port: port to listen on; 0: any free port.
        handler: answers the requests.
        host: address to listen on; empty: all, of IPv6 and IPv4.
        name: name of the thread.

    Raises:
        InvalidInput: the port is in use, is not allowed or is not a port number.
    """

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], *, host: str = "", name: str
    ) -> None:
        try:
            self._server = _listen(port, handler, host)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise InvalidInput(f"http_port={port}: {why}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.5},
            daemon=True,
            name=name,
        )

    @property
    def port(self) -> int:
        """Port that the server listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start answering requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering requests, and close the port."""
        self._server.shutdown()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    """HTTP server on IPv4, without the standard library's look-up of the host's own name.

    With a name server that does not answer, that look-up would block the start of the process.
    """

    daemon_threads = True

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


class _DualStack(_HttpServer):
    """HTTP server on IPv6, and on IPv4 through mapped addresses. A pod may have either or both."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _listen(port: int, handler: type[BaseHTTPRequestHandler], host: str) -> _HttpServer:
    if host and ":" not in host:
        return _HttpServer((host, port), handler)
    try:
        return _DualStack((host, port), handler)
    except OSError:  # there is no IPv6 here, or the error will occur with IPv4 too
        return _HttpServer((host, port), handler)
