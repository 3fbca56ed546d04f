"""The callers of the gateway: who they are and what they may do, as the API server knows it.

A TokenReview says whose token it is. It may be a token for the API server, or one that was made for
this gateway alone (`AUDIENCE`) and is worth nothing elsewhere. A SubjectAccessReview says what that
user may do with a TaskQueue: `get` or `update` a subresource that exists only in RBAC rules.

Tokens are not kept, only their digests. Answers are remembered for a short time, so that a list of
many pages costs the API server little.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

from identtqueue_operator.bearer import digest_of, token_of
from identtqueue_operator.gateway.names import AUDIENCE
from identtqueue_operator.gateway.refusals import Refused
from identtqueue_operator.kube.api import ApiError, Json
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Key
from identtqueue_operator.remembered import Remembered

logger = logging.getLogger(__name__)

T = TypeVar("T")

REMEMBERED_SECONDS: Final = 10.0
"""How long an answer of the API server counts. A right that is revoked ends after this time."""
MOST_REMEMBERED: Final = 256
"""Most answers that are remembered."""
AT_ONCE: Final = 4
"""How many questions the API server is asked at the same time."""
LONGEST_TOKEN: Final = 16_384


class Part(StrEnum):
    """A part of a TaskQueue that rights are given for: a subresource in RBAC rules."""

    TASKS = "tasks"
    """Lists of tasks and their history; `update`: cancel, replay, discard, start now."""
    ARGUMENTS = "arguments"
    """The arguments and results of tasks. Only `get`."""
    QUEUES = "queues"
    """Depths of the queues; `update`: pause and resume."""
    WORKERS = "workers"
    """The workers; `update`: drain and call back."""


class Right(NamedTuple):
    """Something that a caller must be allowed to do."""

    verb: str
    part: Part


@dataclass(frozen=True)
class Caller:
    """Somebody whom the API server knows."""

    name: str
    review: Json = field(repr=False)
    """The user in the form of a SubjectAccessReview."""
    digest: bytes = field(repr=False)
    """Digest of the token."""


class Callers:
    """Authenticates and authorizes the callers of the gateway.

    Args:
        kube: asks the API server.
        clock: seconds, monotonic.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._known: Remembered[bytes, Caller | None] = _remembered(clock)
        self._rights: Remembered[tuple[bytes, Right, Key], bool] = _remembered(clock)
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def identify(self, authorization: str) -> Caller:
        """Find out whose token a request carries.

        Args:
            authorization: the header of that name.

        Raises:
            Refused: there is no valid token, or the API server can't be asked.
        """
        token = token_of(authorization)
        if not token or len(token) > LONGEST_TOKEN:
            raise _unknown("send the header `Authorization: Bearer <token>`")
        digest = digest_of(token)
        if not self._known.is_fresh(digest):
            self._known.put(digest, await self._ask(self._whose(token, digest)))
        caller = self._known[digest]
        if caller is None:
            raise _unknown("the API server does not accept this token")
        return caller

    async def may(self, caller: Caller, right: Right, key: Key) -> bool:
        """Return whether a caller has a right to a TaskQueue, which need not exist.

        Raises:
            Refused: the API server can't be asked.
        """
        what = (caller.digest, right, key)
        if not self._rights.is_fresh(what):
            question = self._kube.may_use(caller.review, right.verb, right.part, key)
            self._rights.put(what, await self._ask(question))
        return self._rights[what]

    async def check(self, caller: Caller, right: Right, key: Key) -> None:
        """Make sure of a right.

        Raises:
            Refused: the caller lacks it, or the API server can't be asked.
        """
        if not await self.may(caller, right, key):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "Forbidden",
                f"{caller.name} may not {right.verb} taskqueues/{right.part} of {key.name} in "
                f"namespace {key.namespace}",
            )

    async def _whose(self, token: str, digest: bytes) -> Caller | None:
        found = await self._kube.review_token(token)
        if found is None:
            found = await self._kube.review_token(token, AUDIENCE)
        return None if found is None else Caller(str(found["user"]), found, digest)

    async def _ask(self, question: Awaitable[T]) -> T:
        async with self._asking:
            try:
                return await question
            except ApiError as error:
                logger.warning("a caller of the gateway can't be checked: %s", error)
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "CallerUnchecked",
                    "the API server can't be asked who you are; try again",
                ) from error


def _unknown(message: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized", message)


def _remembered(clock: Callable[[], float]) -> Remembered[Any, Any]:
    return Remembered(clock, seconds=REMEMBERED_SECONDS, most=MOST_REMEMBERED)
