"""Live pages: what they show, and who asks for them in which words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.requests import Request

Read: TypeAlias = Callable[[Any, "Visit"], Awaitable[Mapping[str, Any]]]
"""Reads what a page shows. It gets the `Board`, which stands above this module."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The words in which a page is asked for. Equal ones show the same to all who ask.

    Attributes:
        page: name of the page.
        root: where the dashboard is mounted.
        can_act: whether the page has the buttons of an operator.
        path: parameters of the path, and their values.
        query: parameters of the query that the page knows, and their values; those without a value
            are left out.
    """

    page: str
    root: str
    can_act: bool
    path: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, name: str) -> str:
        """Return a parameter of the path, or of the query; "" if it was not given."""
        return dict(self.query + self.path).get(name, "")


@dataclass(frozen=True, slots=True)
class View:
    """A page that shows what is, and keeps showing it.

    Attributes:
        name: name of the page, for links.
        path: its path, as Starlette's routes have it.
        template: file in `templates`.
        read: asks for what the template shows. Use `Board.reader`, which asks Redis once for
            everybody.
        live: blocks of the template that are pushed when they change. In the template, each is
            inside an element with the id `live-<block>`.
        query: names of the parameters of the query that the page knows.
    """

    name: str
    path: str
    template: str
    read: Read
    live: tuple[str, ...] = ()
    query: frozenset[str] = frozenset()

    def visit(self, request: Request, *, can_act: bool) -> Visit:
        """Return the words in which a request asks for this page."""
        given = request.query_params
        query = [(name, given[name][:500]) for name in sorted(self.query) if given.get(name)]
        path = sorted((name, str(value)) for name, value in request.path_params.items())
        return Visit(
            self.name, request.scope.get("root_path", ""), can_act, tuple(path), tuple(query)
        )
