"""HTTP server of a worker for /livez, /readyz and /metrics.

It runs in a thread of its own, so that it answers while the event loop is busy. What it answers is
decided by `Worker.live_problem` and `Worker.ready_problem`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from identtqueue.errors import InvalidInput

Check = Callable[[], str | None]
"""Returns None when all is well, or a description of the problem."""


class HealthServer:
    """A small HTTP server.

    Args:
        port: port to listen on, on all IPv6 and IPv4 addresses; 0: any free port.
        live, ready: checks that decide what /livez and /readyz answer.
        collector: Prometheus collector, an object with `collect()`, for /metrics.

    Raises:
        InvalidInput: the port is in use, is not allowed or is not a port number.
    """

    def __init__(self, port: int, *, live: Check, ready: Check, collector: Any) -> None:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

        registry = CollectorRegistry()
        registry.register(collector)
        ProcessCollector(registry=registry)
        routes: dict[str, Callable[[], tuple[int, bytes]]] = {
            "/livez": lambda: _answer(live()),
            "/readyz": lambda: _answer(ready()),
            "/metrics": lambda: (200, generate_latest(registry)),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                route = routes.get(self.path.partition("?")[0])
                status, body = route() if route else (404, b"try /livez, /readyz or /metrics\n")
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing: probes come every few seconds."""

        try:
            self._server = listen(port, Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise InvalidInput(f"http_port={port}: {why}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.5},
            daemon=True,
            name="identtqueue http",
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

    With a name server that does not answer, that look-up would block the worker's start.
    """

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


class _DualStack(_HttpServer):
    """HTTP server on IPv6, and on IPv4 through mapped addresses. A pod may have either or both."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def listen(port: int, handler: type[BaseHTTPRequestHandler], host: str = "") -> ThreadingHTTPServer:
    """Open a port for HTTP.

    Args:
        port: the port; 0: any free one.
        handler: answers the requests.
        host: the address to listen on; empty: all, of IPv6 and IPv4.

    Raises:
        OSError: the port is in use or not allowed, or there is no such address.
        OverflowError: it is no port number.
    """
    if host and ":" not in host:
        return _HttpServer((host, port), handler)
    try:
        return _DualStack((host, port), handler)
    except OSError:  # there is no IPv6 here, or the error will occur with IPv4 too
        return _HttpServer((host, port), handler)


def _answer(problem: str | None) -> tuple[int, bytes]:
    return (200, b"ok\n") if problem is None else (503, f"{problem}\n".encode())
