"""One noun's share of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.routing import Route

from identtqueue.dashboard.board import MenuEntry
from identtqueue.dashboard.live.view import View


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages about one noun.

    Attributes:
        views: its live pages.
        routes: its other routes.
        navigation: its entries in the menu.
    """

    views: tuple[View, ...] = ()
    routes: tuple[Route, ...] = ()
    navigation: tuple[MenuEntry, ...] = ()
