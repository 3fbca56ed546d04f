"""The common parts of all pages: the reader, the feeds, the links, the user, and the templates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from identtqueue.admin import Admin
from identtqueue.dashboard.access.forgery import COOKIE, FIELD, ForgeryGuard
from identtqueue.dashboard.access.user import Auth, User
from identtqueue.dashboard.links import Links
from identtqueue.dashboard.live.hub import Hub
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.reader import Reader
from identtqueue.dashboard.rendering import Rendering
from identtqueue.dashboard.task_queues import TaskQueueSource

STATIC: Final = Path(__file__).parent / "static"
NOTICE: Final = "identtqueue_notice"
"""Cookie with a sentence for the next page: what an act has done."""


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An entry of the navigation.

    Attributes:
        page: name of the page that it leads to.
        title: shown to users.
        covers: names of other pages on which it is marked as the current one.
    """

    page: str
    title: str
    covers: tuple[str, ...] = ()


def version_of_files(folder: Path = STATIC) -> str:
    """Return a word that changes with any static file, so that browsers keep each for ever."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


class Board:
    """The common parts of the pages of one dashboard.

    Args:
        admin: asks Redis, and acts.
        auth: knows who sends a request.
        forgery: makes and checks the tokens of forms.
        reader: asks Redis once for everybody.
        task_queues: the TaskQueues of a cluster, or why there are none.
        title: name of the dashboard, shown on each page: "production".
        interval_seconds: time between two looks at what is shown.
    """

    def __init__(
        self,
        admin: Admin,
        auth: Auth,
        forgery: ForgeryGuard,
        reader: Reader,
        task_queues: TaskQueueSource | str,
        *,
        title: str,
        interval_seconds: float,
    ) -> None:
        self.admin = admin
        self.auth = auth
        self.forgery = forgery
        self.reader = reader
        self.task_queues = task_queues
        self.title = title
        self.hub = Hub(self._look, interval_seconds)
        self.navigation: tuple[MenuEntry, ...] = ()
        self.views: dict[str, View] = {}
        self.paths: dict[str, str] = {}
        self._rendering = Rendering()
        self._version = version_of_files()

    @staticmethod
    def of(request: Request) -> Board:
        """Return the dashboard that a request is for."""
        return cast("Board", request.app.state.board)

    def links(self, root: str) -> Links:
        """Return the addresses of pages, for a dashboard that is mounted there."""
        return Links(self.paths, root, self._version)

    def user(self, request: Request) -> User:
        """Return who sends a request."""
        return cast("User", request.state.user)

    def admin_of(self, user: User) -> Admin:
        """Return the `Admin` whose acts are audited under a user's name."""
        return self.admin.acting_as(user.name)

    async def show(self, request: Request, view: View) -> Response:
        """Answer with a live page."""
        visit = view.visit(request, can_act=self.user(request).can_act)
        context = await view.read(self, visit)
        words = dict(visit.path) | dict(visit.query)
        live = self.links(visit.root).to(f"{view.name}.live", **words) if view.live else ""
        return self.page(
            request,
            view.template,
            {**context, "visit": visit, "live": live},
            name=view.name,
        )

    def page(
        self,
        request: Request,
        template: str,
        context: Mapping[str, Any],
        *,
        name: str = "",
        status: int = 200,
    ) -> Response:
        """Answer with a page from a template.

        Args:
            request: asks for it.
            template: file in `templates`, which extends `base.html`.
            context: what the template shows.
            name: name of the page, for the navigation.
            status: of HTTP.
        """
        root = request.scope.get("root_path", "")
        user = getattr(request.state, "user", None)
        can_act = user is not None and user.can_act
        cookie = self.forgery.cookie(request) if can_act else ""
        frame = {
            "board": self,
            "can_act": can_act,
            "csrf": self.forgery.token(cookie, user) if user is not None and can_act else "",
            "csrf_field": FIELD,
            "links": self.links(root),
            "live": "",
            "notice": unquote(request.cookies.get(NOTICE, ""))[:500],
            "page_name": name,
            "user": user,
        }
        response = HTMLResponse(self._rendering.page(template, {**frame, **context}), status)
        response.headers["Cache-Control"] = "no-store"
        if can_act and request.cookies.get(COOKIE) != cookie:
            set_cookie(request, response, COOKIE, cookie)
        if NOTICE in request.cookies:
            set_cookie(request, response, NOTICE, "", max_age_seconds=0)
        return response

    def blocks(self, view: View, visit: Visit, context: Mapping[str, Any]) -> dict[str, str]:
        """Make the live blocks of a page, which show nothing of one user or one browser."""
        frame = {"can_act": visit.can_act, "links": self.links(visit.root), "visit": visit}
        return self._rendering.blocks(view.template, view.live, {**frame, **context})

    async def _look(self, visit: Visit) -> dict[str, str]:
        view = self.views[visit.page]
        return self.blocks(view, visit, await view.read(self, visit))


def set_cookie(
    request: Request,
    response: Response,
    name: str,
    value: str,
    *,
    max_age_seconds: int | None = None,
) -> None:
    """Set a cookie that only this dashboard gets, and no script reads.

    Args:
        request: says where the dashboard is mounted, and whether it is reached by HTTPS.
        response: gets the cookie.
        name: of the cookie.
        value: any text.
        max_age_seconds: how long the browser keeps it; None: until it is closed.
    """
    response.set_cookie(
        name,
        quote(value, safe=""),
        max_age=max_age_seconds,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
