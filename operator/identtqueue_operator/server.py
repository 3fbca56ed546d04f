"""/livez, /readyz and /metrics on one port, with or without TLS.

Served from the event loop itself on purpose: if the loop hangs, /livez does not answer, and the
kubelet restarts the operator. A replica that waits to become leader is ready.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from identtqueue_operator.timings import DEFAULTS, Timings

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Server:
    """The operator's HTTP port.

    Args:
        metrics: returns what /metrics answers.
        check: returns the status for a caller with this Authorization header: 200, or that of the
            refusal. None: everybody may read the metrics.
        certificate: files of a TLS certificate and its key; None: plain HTTP.
        timings: how often the certificate is read again.

    Attributes:
        problem: why the operator is not ready; empty if it is.
    """

    def __init__(
        self,
        metrics: Callable[[], bytes],
        check: Callable[[str], Awaitable[HTTPStatus]] | None = None,
        certificate: tuple[Path, Path] | None = None,
        timings: Timings = DEFAULTS,
    ) -> None:
        self._timings = timings
        self.problem = ""
        self._metrics = metrics
        self._check = check
        self._certificate = certificate
        self._rotation: asyncio.Task[None] | None = None
        app = web.Application()
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get("/metrics", self._exposition)
        self._writing = asyncio.Lock()
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, port: int) -> int:
        """Begin to listen; return the port, which is a free one for port 0.

        Raises:
            OSError: the port is taken, or the certificate can't be read or used (`ssl.SSLError`).
        """
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
            rotation = self._follow_rotation(context, *self._certificate)
            self._rotation = asyncio.get_running_loop().create_task(rotation)
        await self._runner.setup()
        port = port or _free_port()
        await web.TCPSite(self._runner, None, port, ssl_context=context).start()
        return port

    async def close(self) -> None:
        """Stop listening."""
        if self._rotation is not None:
            self._rotation.cancel()
            await asyncio.gather(self._rotation, return_exceptions=True)
        await self._runner.cleanup()

    async def _follow_rotation(self, context: ssl.SSLContext, cert: Path, key: Path) -> None:
        """Load a renewed certificate: the kubelet changes the files of a mounted Secret."""
        seen = await asyncio.to_thread(_content, cert, key)
        while True:
            await asyncio.sleep(self._timings.rotation_seconds)
            try:
                found = await asyncio.to_thread(_content, cert, key)
                if found != seen:
                    context.load_cert_chain(cert, key)
                    seen = found
                    logger.info("the certificate of the HTTP port was renewed")
            except OSError as error:  # one file may be newer than the other; the next look fits
                logger.warning("the renewed certificate of the HTTP port can't be used: %s", error)

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        text = f"{self.problem or 'ok'}\n"
        return web.Response(text=text, status=503 if self.problem else 200)

    async def _exposition(self, request: web.Request) -> web.Response:
        if self._check is not None:
            status = await self._check(request.headers.get("Authorization", ""))
            if status is not HTTPStatus.OK:
                asks = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
                return web.Response(text=f"{status.phrase}\n", status=status, headers=asks)
        async with self._writing:  # one at a time, however many ask
            # Tens of thousands of lines for thousands of TaskQueues: the loop goes on meanwhile.
            body = await asyncio.to_thread(self._metrics)
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})


def _free_port() -> int:
    """Find one number for IPv4 and IPv6, which would get different ones by listening at port 0."""
    with socket.create_server(("", 0)) as found:
        return int(found.getsockname()[1])


def _content(*files: Path) -> list[bytes]:
    return [file.read_bytes() for file in files]
