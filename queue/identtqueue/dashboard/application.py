"""The dashboard as an ASGI application."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from identtqueue.admin import Admin, RedisSettings
from identtqueue.dashboard import pages
from identtqueue.dashboard.access.forgery import ForgeryGuard
from identtqueue.dashboard.access.open import OpenToRead
from identtqueue.dashboard.access.user import Auth, NotAllowed
from identtqueue.dashboard.board import STATIC, Board, MenuEntry
from identtqueue.dashboard.guard import Guard, refusal, with_headers
from identtqueue.dashboard.live.stream import stream
from identtqueue.dashboard.live.view import View
from identtqueue.dashboard.reader import Reader
from identtqueue.dashboard.task_queues import TaskQueueSource
from identtqueue.errors import IdenttqueueError, InvalidInput, RedisError, TaskNotFound
from identtqueue.redaction import Redact

SHORTEST_INTERVAL_SECONDS: Final = 0.2


class Dashboard(Starlette):
    """The application. `create_dashboard` makes it."""

    @property
    def board(self) -> Board:
        """The common parts of its pages."""
        board: Board = self.state.board
        return board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and add the headers to its answer, whatever becomes of it."""
        if scope["type"] == "http":
            send = with_headers(send)
        await super().__call__(scope, receive, send)

    async def close(self) -> None:
        """End the streams, and close the connections that the dashboard has opened itself.

        A server that runs it by itself does so when it ends. Where it is mounted in another
        application, that one calls it when it ends.
        """
        self.board.hub.close()
        if self.state.owns_admin:
            await self.board.admin.close()
        if not isinstance(self.board.task_queues, str):
            await self.board.task_queues.close()


def create_dashboard(
    redis: Admin | RedisSettings | str | None = None,
    *,
    auth: Auth | None = None,
    title: str = "",
    queues: Sequence[str] = (),
    secret: str | bytes | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] | None = None,
    task_queues: TaskQueueSource | str = "This dashboard was made without a source of TaskQueues.",
    redact: Redact | None = None,
    interval_seconds: float = 2.0,
) -> Dashboard:
    """Make the dashboard, to be run by itself or mounted under any path.

    ::

        from identtqueue.dashboard import BasicAuth, create_dashboard

        dashboard = create_dashboard("redis://redis", auth=BasicAuth("/etc/queues/users"))
        app.mount("/queues", dashboard)     # FastAPI, Starlette

    It is read-only unless `auth` knows a user with the role operator.

    Args:
        redis: address or settings, see `Client`; or an `Admin`, which stays the caller's to close.
        auth: knows who sends a request: `BasicAuth`, `ProxyAuth`, or an object of your own.
            Default: everybody may look, nobody may act.
        title: name of the dashboard, shown on each page: "production".
        queues: names of queues that are shown even before the registry has them.
        secret: key of the tokens that protect forms. Processes that share the requests of one
            dashboard need the same. Default: a random one.
        origins: other origins that it is reached by (`https://queues.example`), for browsers that
            tell only the origin, and where a proxy does not pass the host on.
        hosts: names that it may be called by, without port. Default: any.
        task_queues: source of the TaskQueues of a cluster, or why there are none.
        redact: what hides arguments besides what workers have declared: `app.redact`. An `Admin`
            has its own.
        interval_seconds: time between two looks at what somebody looks at.

    Raises:
        InvalidInput: the address, the secret, `redact` or the interval breaks a rule.
    """
    if not interval_seconds >= SHORTEST_INTERVAL_SECONDS:
        raise InvalidInput(
            f"interval_seconds={interval_seconds!r}: must be {SHORTEST_INTERVAL_SECONDS} or more"
        )
    admin = redis if isinstance(redis, Admin) else Admin(redis, redact=redact)
    board = Board(
        admin,
        auth or OpenToRead(),
        ForgeryGuard(_key(secret), frozenset(origins)),
        Reader(admin, queues),
        task_queues,
        title=title,
        interval_seconds=interval_seconds,
    )
    routes = _routes(board)
    middleware = [Middleware(Guard, hosts=None if hosts is None else _lower(hosts))]
    dashboard = Dashboard(
        routes=routes,
        middleware=middleware,
        exception_handlers=_HANDLERS,
        lifespan=_lifespan,
    )
    dashboard.state.board = board
    dashboard.state.owns_admin = admin is not redis
    return dashboard


@asynccontextmanager
async def _lifespan(dashboard: Starlette) -> AsyncIterator[None]:
    assert isinstance(dashboard, Dashboard)
    try:
        yield
    finally:
        await dashboard.close()


def _key(secret: str | bytes | None) -> bytes:
    if secret is None:
        return secrets.token_bytes(32)
    key = secret.encode() if isinstance(secret, str) else secret
    if len(key) < 16:
        raise InvalidInput("secret: must have 16 bytes or more: `openssl rand -hex 32` makes one")
    return key


def _lower(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in hosts)


def _routes(board: Board) -> list[BaseRoute]:
    """Make the routes of all pages, and note their paths for links."""
    routes: list[BaseRoute] = []
    entries: list[MenuEntry] = []
    for part in pages.ALL:
        for view in part.views:
            board.views[view.name] = view
            routes += _routes_of(view)
        routes += part.routes
        entries += part.navigation
    board.navigation = tuple(entries)
    board.paths = {route.name: route.path for route in routes if isinstance(route, Route)}
    files = StaticFiles(directory=STATIC)
    routes.append(Mount("/static/{version}", _Kept(files)))
    routes.append(Route("/healthz", _healthz, name="healthz"))
    return routes


def _routes_of(view: View) -> Iterable[Route]:
    async def page(request: Request) -> Response:
        return await Board.of(request).show(request, view)

    async def live(request: Request) -> Response:
        board = Board.of(request)
        return stream(board.hub, view.visit(request, can_act=board.user(request).can_act))

    yield Route(view.path, page, name=view.name)
    if view.live:
        yield Route(f"/live{view.path}", live, name=f"{view.name}.live")


class _Kept:
    """Static files, which browsers keep for ever: their address changes with their content."""

    def __init__(self, files: StaticFiles) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["headers"] = [
                    *message["headers"],
                    (b"cache-control", b"public, max-age=31536000, immutable"),
                ]
            await send(message)

        await self._files(scope, receive, sending)


async def _healthz(request: Request) -> Response:  # noqa: ARG001
    """Answer as long as the process does; Redis may be away, and the page then says so."""
    return PlainTextResponse("ok\n")


def _error_page(title: str, status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        return Board.of(request).page(
            request, "error.html", {"title": title, "text": str(error)}, status=status
        )

    return handle


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title, text = "That did not work", error.detail
    if error.status_code == 404:
        title = "There is no such page"
        text = "Check the address." if error.detail == "Not Found" else error.detail
    response = await _error_page(title, error.status_code)(request, Exception(text))
    response.headers.update(error.headers or {})
    return response


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotAllowed)
    return refusal(request, error)


_HANDLERS: Final[Any] = {
    HTTPException: _http_error,
    NotAllowed: _refused,
    TaskNotFound: _error_page("There is no such task", 404),
    InvalidInput: _error_page("That can't be asked", 400),
    RedisError: _error_page("Redis does not answer as it should", 503),
    IdenttqueueError: _error_page("That did not work", 500),
}
