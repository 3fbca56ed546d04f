"""HTTP server of a worker for /livez, /readyz and /metrics.

It runs in a thread of its own, so that it answers while the event loop is busy. What it answers is
decided by `Worker.live_problem` and `Worker.ready_problem`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from identtqueue.http_port import HttpPort

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Check = Callable[[], str | None]
"""Returns None when all is well, or a description of the problem."""


class HealthServer(HttpPort):
    """The HTTP server of a worker.

    Args:
        port: port to listen on, on all IPv6 and IPv4 addresses; 0: any free port.
        live, ready: checks that decide what /livez and /readyz answer.
        collector: Prometheus collector, an object with `collect()`, for /metrics.

    Raises:
        InvalidInput: the port is in use, is not allowed or is not a port number.
    """

    def __init__(self, port: int, *, live: Check, ready: Check, collector: Any) -> None:
        @cache
        def registry() -> CollectorRegistry:
            # Made when somebody asks for the first time: a pod's first task does not wait for it.
            from prometheus_client import CollectorRegistry  # noqa: PLC0415
            from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

            made = CollectorRegistry()
            made.register(collector)
            ProcessCollector(registry=made)
            return made

        def metrics() -> tuple[int, bytes]:
            from prometheus_client import generate_latest  # noqa: PLC0415

            return 200, generate_latest(registry())

        routes: dict[str, Callable[[], tuple[int, bytes]]] = {
            "/livez": lambda: _answer(live()),
            "/readyz": lambda: _answer(ready()),
            "/metrics": metrics,
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

        super().__init__(port, Handler, name="identtqueue http")


def _answer(problem: str | None) -> tuple[int, bytes]:
    return (200, b"ok\n") if problem is None else (503, f"{problem}\n".encode())
