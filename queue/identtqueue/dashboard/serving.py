"""The dashboard by itself: a process that serves it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from identtqueue.dashboard.application import Dashboard
from identtqueue.errors import InvalidInput

GRACE_SECONDS: Final = 5
"""How long requests may go on when the process is asked to end. Streams end at once."""


class _DashboardServer(uvicorn.Server):
    """A server that ends the streams first: it would wait for them until its grace is over."""

    def __init__(self, config: uvicorn.Config, dashboard: Dashboard) -> None:
        super().__init__(config)
        self._dashboard = dashboard

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # Otherwise it would raise the signal again at its end: the process would look killed.
        self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._dashboard.board.hub.close()
        await super().shutdown(sockets)


class Below:
    """The dashboard below a path. `/healthz` is at the root too, where probes look for it.

    Args:
        app: what is served.
        root: the path, without a slash at the end.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request below the path on, and answer all others."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._root:
                await RedirectResponse(f"{self._root}/")(scope, receive, send)
                return
            if path.startswith(f"{self._root}/"):
                scope = {**scope, "root_path": self._root}
            elif path != "/healthz":
                await PlainTextResponse("not found\n", 404)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def serve(
    dashboard: Dashboard,
    host: str,
    port: int,
    *,
    root_path: str = "",
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve the dashboard until a signal ends the process.

    Args:
        dashboard: what is served.
        host: address to listen on.
        port: port to listen on.
        root_path: path below which browsers see the dashboard, such as `/queues`. Proxies must pass
            it on unchanged.
        certificate: file with the certificate in PEM, for HTTPS.
        key: file with its private key; None: it is in the same file.

    Raises:
        InvalidInput: the address can't be listened on.
    """
    tls: Mapping[str, Any] = {}
    if certificate is not None:
        tls = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key) if key else None}
    config = uvicorn.Config(
        Below(dashboard, root_path) if root_path else dashboard,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # A proxy's word for who asks is not believed here: `ProxyAuth` looks at the connection.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **tls,
    )
    try:
        listening = _listen(host, port)
    except OSError as error:
        raise InvalidInput(f"{host}:{port}: {error.strerror}") from error
    with listening:
        _DashboardServer(config, dashboard).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
