"""The gateway's HTTP server.

It listens on the loopback address of the pod only. Callers come through `kubectl port-forward`, for
which the API server asks a right of its own. So tokens cross the network only inside TLS, and no
NetworkPolicy needs a hole.

The right to a request is checked before the TaskQueue is looked for: a caller without rights in a
namespace does not learn what is there.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from identtqueue.errors import IdenttqueueError
from identtqueue_operator.gateway import acting, reading
from identtqueue_operator.gateway.callers import Callers, Part, Right
from identtqueue_operator.gateway.directory import Directory
from identtqueue_operator.gateway.reading import encode
from identtqueue_operator.gateway.refusals import Refused, bad_request, refusal_of
from identtqueue_operator.gateway.request import Asked, Json
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Key

logger = logging.getLogger(__name__)

LOOPBACK: Final = ("127.0.0.1", "::1")
"""Where `kubectl port-forward` arrives in a pod: at `localhost`, by either protocol."""
ROOT: Final = "/v1/namespaces/{namespace}/taskqueues/{name}"
MOST_REQUESTS: Final = 16
"""Most requests at a time. Each may hold a page of tasks in memory."""
MOST_BODY_BYTES: Final = 256 * 1024
MOST_SECONDS: Final = 30.0
"""Longest time for an answer that is not a stream."""

Answer = Callable[[Asked], Awaitable[Json]]
Stream = Callable[[Asked], AsyncIterator[Json]]


@dataclass(frozen=True)
class Route:
    """One thing that can be asked."""

    method: str
    path: str
    right: Right
    answer: Answer | None = None
    stream: Stream | None = None
    """Yields lines of JSON instead."""


class Gateway:
    """The server of one operator, while it leads.

    Args:
        directory: the TaskQueues.
        callers: who may ask.
        kube: annotates pods.
    """

    def __init__(self, directory: Directory, callers: Callers, kube: Kube) -> None:
        self._directory = directory
        self._callers = callers
        self._slots = MOST_REQUESTS
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        for route in _routes(kube):
            app.router.add_route(route.method, ROOT + route.path, self._handler(route))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> int:
        """Begin to listen; return the port, which is a free one for port 0.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        for host in LOOPBACK:
            try:
                await web.TCPSite(self._runner, host, port).start()
            except OSError:
                if host == LOOPBACK[0]:
                    raise  # a node without IPv6 is fine
                continue
            port = port or self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Make what answers a route: it checks the caller first, and turns errors into answers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if not self._slots:
                return _refusal(_busy())
            self._slots -= 1
            try:
                if route.stream is not None:
                    return await self._stream(request, route.right, route.stream)
                assert route.answer is not None
                async with asyncio.timeout(MOST_SECONDS):
                    asked = await self._check(request, route.right)
                    answer = await route.answer(asked)
                return web.Response(body=encode(answer), content_type="application/json")
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - each becomes an answer
                return _refusal(_translate(error))
            finally:
                self._slots += 1

        return handle

    async def _stream(
        self, request: web.Request, right: Right, stream: Stream
    ) -> web.StreamResponse:
        """Answer with lines of JSON. An error after the first line is the last line."""
        async with asyncio.timeout(MOST_SECONDS):
            asked = await self._check(request, right)
        lines = stream(asked)
        response: web.StreamResponse | None = None
        try:
            async for line in lines:
                if response is None:
                    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
                    await response.prepare(request)
                async with asyncio.timeout(MOST_SECONDS):  # for a caller that does not read
                    await response.write(encode(line))
        except ConnectionError:  # the act stops where it is
            logger.info("%s: a caller left in the middle of an act", asked.key)
            return response or web.Response()
        except Exception as error:
            if response is None:
                raise
            await response.write(encode(_body(_translate(error))))
        finally:
            await lines.aclose()  # type: ignore[attr-defined]
        if response is None:
            return web.Response(body=b"", content_type="application/x-ndjson")
        await response.write_eof()
        return response

    async def _check(self, request: web.Request, right: Right) -> Asked:
        """Find out who asks, and make sure of the right.

        Raises:
            Refused: the caller is not known, lacks the right, or has sent no JSON.
        """
        caller = await self._callers.identify(request.headers.get("Authorization", ""))
        key = Key(request.match_info["namespace"], request.match_info["name"])
        await self._callers.check(caller, right, key)
        return Asked(
            self._directory,
            self._callers,
            caller,
            key,
            await _words(request),
            request.match_info.get("id", ""),
        )


def _routes(kube: Kube) -> list[Route]:
    """List all that can be asked, with the right that each takes."""

    async def drain(asked: Asked) -> Json:
        return await acting.drain(asked, kube)

    return [
        Route("GET", "/queues", Right("get", Part.QUEUES), reading.queues),
        Route("GET", "/workers", Right("get", Part.WORKERS), reading.workers),
        Route("GET", "/tasks", Right("get", Part.TASKS), reading.tasks),
        Route("GET", "/tasks/{id:.+}", Right("get", Part.TASKS), reading.task),
        Route("GET", "/count", Right("get", Part.TASKS), reading.count),
        Route("POST", "/act", Right("update", Part.TASKS), stream=acting.act),
        Route("POST", "/pause", Right("update", Part.QUEUES), acting.pause),
        Route("POST", "/drain", Right("update", Part.WORKERS), drain),
    ]


async def _words(request: web.Request) -> dict[str, Any]:
    """Read the parameters of a request.

    Raises:
        Refused: the body is no JSON object.
    """
    if request.method == "GET":
        return dict(request.query)
    try:
        words = json.loads(await request.read() or b"{}")
    except ValueError:
        words = None
    if not isinstance(words, dict):
        raise bad_request("the body must be a JSON object")
    return words


def _busy() -> Refused:
    text = f"{MOST_REQUESTS} requests are under way already; try again"
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests", text)


def _translate(error: Exception) -> Refused:
    """Put any error into an answer. What is not expected is logged, and not shown."""
    match error:
        case Refused():
            return error
        case IdenttqueueError():
            return refusal_of(error)
        case ApiError():
            return Refused(HTTPStatus.BAD_GATEWAY, "ApiServerRefused", str(error))
        case TimeoutError():
            text = f"no answer within {MOST_SECONDS:.0f} s"
            return Refused(HTTPStatus.GATEWAY_TIMEOUT, "TimedOut", text)
    logger.error("a request failed", exc_info=error)
    text = f"{type(error).__name__}; the operator's log has the details"
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", text)


def _body(refused: Refused) -> Json:
    return {"error": {"reason": refused.reason, "message": str(refused)}}


def _refusal(refused: Refused) -> web.Response:
    return web.Response(
        body=encode(_body(refused)), status=refused.status, content_type="application/json"
    )
