"""The guard at the door: the host that is meant, who asks, and what browsers must not do."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identtqueue.dashboard.access.user import NotAllowed
from identtqueue.dashboard.board import Board

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_OPEN: Final = ("/static/", "/healthz")
"""Paths that need no login: they are the same for everybody, and show nothing of any queue."""


def with_headers(send: Send) -> Send:
    """Add the headers to each answer, also to those of errors."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


class Guard:
    """Middleware that lets a request in once it is known who sends it.

    Args:
        app: what is guarded.
        hosts: names that the dashboard may be called by, without port; None: any. On a machine's
            own address they keep a web page from reading the dashboard by a name of its own that
            leads here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its user, or answer it with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        board = Board.of(request)
        try:
            self._check_host(request)
            if not _path(scope).startswith(_OPEN):
                request.state.user = await board.auth.identify(request)
        except NotAllowed as refused:
            await refusal(request, refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts is not None and name.lower() not in self._hosts:
            raise NotAllowed("The dashboard is not called by this name here (--allow-host).", 421)


def refusal(request: Request, refused: NotAllowed) -> Response:
    """Make the page that says why a request is refused."""
    titles = {401: "Log in", 429: "Too many tries", 413: "Too big", 421: "Another name"}
    page = Board.of(request).page(
        request,
        "error.html",
        {"title": titles.get(refused.status, "Not allowed"), "text": refused.reason},
        status=refused.status,
    )
    page.headers.update(refused.headers)
    return page


def _path(scope: Scope) -> str:
    """Return the path below the mount point."""
    path, root = scope["path"], scope.get("root_path", "")
    return str(path[len(root) :] if root and path.startswith(root) else path)
