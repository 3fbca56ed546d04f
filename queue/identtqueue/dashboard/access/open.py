"""Reading without a login, for a dashboard that only its own machine or a trusted net reaches."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from identtqueue.dashboard.access.user import User


class OpenToRead:
    """Access for everybody who reaches the port. Nobody can act."""

    async def identify(self, request: HTTPConnection) -> User:  # noqa: ARG002
        """Return a user without a name, who may only look."""
        return User("anonymous", authenticated=False)
