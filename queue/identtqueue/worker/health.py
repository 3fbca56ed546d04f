"""/livez, /readyz and /metrics, from a thread of their own: a busy event loop still answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from identtqueue.errors import InvalidInput

Check = Callable[[], str | None]
"""Gives None when all is well, else what is wrong."""


class HealthServer:
    """A small HTTP server.

    Args:
        port: to listen on, on all addresses, IPv6 and IPv4; 0: any free one.
        live, ready: the checks.
        collector: an object with `collect()`, for Prometheus.

    Raises:
        InvalidInput: the port is taken, or is none.
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
                """Probes come every few seconds; they are not worth a line."""

        try:
            self._server = _listen(port, Handler)
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
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """IPv4, without the standard library's look-up of the host's own name.

    A name server that does not answer would hold up the worker's start, in its event loop.
    """

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


class _DualStack(_Server):
    """IPv6, and IPv4 through mapped addresses: a pod may have one of them only, or both."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _listen(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return _DualStack(("", port), handler)
    except OSError:  # no IPv6 here; or what is the matter with IPv4 too
        return _Server(("", port), handler)


def _answer(problem: str | None) -> tuple[int, bytes]:
    return (200, b"ok\n") if problem is None else (503, f"{problem}\n".encode())
