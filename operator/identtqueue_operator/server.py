"""/livez, /readyz and /metrics on one port.

Served from the event loop itself on purpose: if the loop hangs, /livez does not answer, and the
kubelet restarts the operator. A replica that waits to become leader is ready.
"""

from collections.abc import Callable

from aiohttp import web

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Server:
    """The operator's HTTP port.

    Args:
        metrics: the answer of /metrics.

    Attributes:
        problem: why the operator is not ready; empty if it is.
    """

    def __init__(self, metrics: Callable[[], bytes]) -> None:
        self.problem = ""
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, port: int) -> int:
        """Listen; gives the port, which is a free one for port 0."""
        await self._runner.setup()
        await web.TCPSite(self._runner, None, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        text = f"{self.problem or 'ok'}\n"
        return web.Response(text=text, status=503 if self.problem else 200)

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": METRICS_TYPE})
