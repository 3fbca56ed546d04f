"""Requests that change something: only from operators, only from forms of ours, each audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from identtqueue.admin import Admin
from identtqueue.dashboard.access.forgery import FIELD, HEADER
from identtqueue.dashboard.access.user import NotAllowed, User
from identtqueue.dashboard.board import NOTICE, Board, set_cookie
from identtqueue.dashboard.links import Links

MOST_BYTES: Final = 256 * 1024
"""Size of a form at most: ids of some thousand tasks."""
MOST_FIELDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ActRequest:
    """A request of an operator that was checked: it comes from a form of ours.

    Attributes:
        board: what the pages share.
        user: who acts.
        admin: acts under the user's name in the audit list.
        path: parameters of the path.
        form: the fields of the form, with all their values.
        links: addresses of pages.
    """

    board: Board
    user: User
    admin: Admin
    path: Mapping[str, str]
    form: Mapping[str, list[str]]
    links: Links
    request: Request

    def field(self, name: str) -> str:
        """Return the value of a field; "" if it is not there."""
        return self.form.get(name, [""])[0]

    def then(self, address: str, notice: str = "") -> Response:
        """Answer: go to a page, and show there what was done.

        Args:
            address: the page, from `links`.
            notice: a sentence for it.
        """
        response = RedirectResponse(address, 303)
        if notice:
            set_cookie(self.request, response, NOTICE, notice[:500], max_age_seconds=30)
        return response


def acting(path: str, name: str, do: Callable[[ActRequest], Awaitable[Response]]) -> Route:
    """Make the route of an act.

    Args:
        path: where the form is sent to.
        name: name of the route, for links.
        do: acts, and answers.
    """

    async def endpoint(request: Request) -> Response:
        board = Board.of(request)
        user = board.user(request)
        if not user.can_act:
            raise NotAllowed(_advice(user))
        form = await _form(request)
        token = request.headers.get(HEADER) or form.get(FIELD, [""])[0]
        board.forgery.check(request, user, token)
        return await do(
            ActRequest(
                board,
                user,
                board.admin_of(user),
                request.path_params,
                form,
                board.links(request.scope.get("root_path", "")),
                request,
            )
        )

    return Route(path, endpoint, methods=["POST"], name=name)


def _advice(user: User) -> str:
    if not user.authenticated:
        return "This dashboard is read-only: nobody logs in, so nobody can act."
    return f"{user.name} may look, but not act: that needs the role operator."


async def _form(request: Request) -> dict[str, list[str]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise NotAllowed("A form must be sent as application/x-www-form-urlencoded.", 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise NotAllowed("The form is too big.", 413)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise NotAllowed(f"The form can't be read: {error}", 400) from None
