"""The users of the dashboard, and what any way of telling them apart has to do."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection


class UserRole(enum.StrEnum):
    """The rights of a user."""

    VIEWER = "viewer"
    """See everything, change nothing."""
    OPERATOR = "operator"
    """See everything, and act."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, as the way of authentication knows them.

    Attributes:
        name: shown on the page, and written into the audit list.
        role: what they may do.
        authenticated: whether somebody has made sure who they are. Nobody acts without that,
            whatever the role.
    """

    name: str
    role: UserRole = UserRole.VIEWER
    authenticated: bool = True

    @property
    def can_act(self) -> bool:
        """Whether they may change anything."""
        return self.authenticated and self.role is UserRole.OPERATOR


class NotAllowed(Exception):
    """The request is from nobody who may look, or who may do this.

    Attributes:
        reason: a sentence for the page.
        status: of HTTP: 401, 403 or 429.
        headers: to send with the answer, such as the challenge of a login.
    """

    def __init__(
        self, reason: str, status: int = 403, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = dict(headers or {})


class Auth(Protocol):
    """A way to know who sends a request."""

    async def identify(self, request: HTTPConnection) -> User:
        """Return the user who sends the request.

        Raises:
            NotAllowed: it is from nobody who may look.
        """
