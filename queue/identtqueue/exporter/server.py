"""The HTTP port of the exporter: /metrics, /healthz and /readyz, with or without TLS.

It runs in threads, so that a slow caller delays no other. Redis is asked in the event loop of the
process.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from identtqueue.errors import InvalidInput
from identtqueue.exporter.access import Access
from identtqueue.exporter.numbers import Collected, Snapshot
from identtqueue.http_port import HttpPort
from identtqueue.worker.metrics import build_info

logger = logging.getLogger(__name__)

CALLER_SECONDS: Final = 10.0
"""How long a caller may be silent."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Certificate:
    """A TLS certificate in files, read again when they change.

    Args:
        certificate: file with the certificate and those that signed it.
        key: file with its private key.

    Raises:
        InvalidInput: the files can't be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        try:
            self._load()
        except OSError as error:  # SSLError is one, too
            names = f"{certificate}, {key}"
            raise InvalidInput(f"{names}: {error.strerror or error}") from None

    def _load(self) -> None:
        seen = tuple(file.stat().st_mtime_ns for file in self._files)
        if seen != self._seen:
            self._context.load_cert_chain(*self._files)
            self._seen = seen

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Begin TLS on a connection of a caller.

        Raises:
            OSError: the caller does not speak TLS, or not in time.
        """
        with self._lock:
            try:
                self._load()
            except OSError as error:  # one file may be newer than the other; the next look fits
                logger.warning("the renewed certificate can't be used: %s", error)
        return self._context.wrap_socket(connection, server_side=True)


class Exporter(HttpPort):
    """The server of the exporter.

    Args:
        port: port to listen on; 0: any free port.
        host: address to listen on; empty: all, of IPv6 and IPv4.
        read: reads the queues. Called in a thread, one call at a time.
        access: decides who may read the metrics.
        certificate: for TLS; None: plain HTTP.

    Raises:
        InvalidInput: the port is in use, or not allowed.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str,
        read: Callable[[], Snapshot],
        access: Access,
        certificate: Certificate | None,
    ) -> None:
        self._read = read
        self._access = access
        self._reading = threading.Lock()
        super().__init__(port, self._handler(certificate), host=host, name="identtqueue exporter")
        setattr(self._server, "handle_error", _note_error)  # noqa: B010 - it is a method

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Return status and text of the answer to a request.

        Args:
            path: the path, without a query.
            authorization: the header of that name; empty: none.
        """
        if path == "/healthz":
            return 200, b"ok\n"
        if path not in ("/metrics", "/readyz"):
            return 404, b"try /metrics, /healthz or /readyz\n"
        if path == "/metrics" and not self._access.allows(authorization):
            return 401, b"log in\n"
        with self._reading:
            reading = self._read()
        if path == "/readyz":
            # The reason may name addresses, so it is in the log and not here.
            return (503, b"Redis can't be read\n") if reading.problem else (200, b"ok\n")
        return 200, exposition(reading)

    def _handler(self, certificate: Certificate | None) -> type[BaseHTTPRequestHandler]:
        exporter = self

        class Conversation(BaseHTTPRequestHandler):
            timeout = CALLER_SECONDS
            server_version = "idenTTqueue"
            sys_version = ""

            def setup(self) -> None:
                if certificate is not None:
                    self.request.settimeout(CALLER_SECONDS)
                    self.request = certificate.wrap(self.request)
                super().setup()

            def finish(self) -> None:
                super().finish()
                if certificate is not None:
                    self.request.close()

            def do_GET(self) -> None:
                path, given = self.path.partition("?")[0], self.headers.get("Authorization", "")
                status, body = exporter.answer(path, given)
                self.send_response(status)
                for way in exporter._access.challenges if status == 401 else ():
                    self.send_header("WWW-Authenticate", way)
                self.send_header("Content-Type", _TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing: requests come every few seconds."""

        return Conversation


def exposition(reading: Snapshot) -> bytes:
    """Write what /metrics answers."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
    from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(Collected(reading))
    registry.register(_BuildInfo())
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _note_error(_request: object, caller: object) -> None:
    """Log why a caller got no answer: often it does not speak TLS, or has gone."""
    logger.debug("no answer for %s", caller, exc_info=True)


class _BuildInfo:
    """Collector of the versions."""

    def collect(self) -> list[Any]:
        return [build_info()]
