"""Access to /metrics, for callers that the API server knows and permits.

A TokenReview says who the caller is. A SubjectAccessReview says whether that user may `get` the
path (`nonResourceURLs`). Answers are remembered, so most scrapes cost the API server nothing.
A flood of wrong tokens costs it a few requests at a time; other unknown callers get 503 meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

from identtqueue_operator.bearer import digest_of, token_of
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.remembered import Remembered

logger = logging.getLogger(__name__)

PATH = "/metrics"
REMEMBERED_SECONDS = 60.0
"""How long an answer counts. So a permission that is revoked ends after this time at most."""
MOST_REMEMBERED = 128
"""Most callers that are remembered, of the permitted and of the refused each."""
AT_ONCE = 4
"""How many unknown callers the API server is asked about at the same time."""


class Scrapers:
    """The callers of /metrics.

    Args:
        kube: asks the API server.
        clock: seconds, monotonic.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._allowed = _remembered(clock)
        """By the digest of a token."""
        self._refused = _remembered(clock)
        self._asking = asyncio.Semaphore(AT_ONCE)

    @property
    def remembered(self) -> int:
        """How many answers of the API server are remembered."""
        return len(self._allowed) + len(self._refused)

    async def check(self, authorization: str) -> HTTPStatus:
        """Return the status for a request with this header: 200, or that of the refusal."""
        token = token_of(authorization)
        if not token:
            return HTTPStatus.UNAUTHORIZED
        key = digest_of(token)
        for known in (self._allowed, self._refused):
            if known.is_fresh(key):
                return known[key]
        if key not in self._allowed and self._asking.locked():
            return HTTPStatus.SERVICE_UNAVAILABLE
        async with self._asking:
            return await self._ask(key, token)

    async def _ask(self, key: bytes, token: str) -> HTTPStatus:
        try:
            user = await self._kube.review_token(token)
            if user is None:
                status = HTTPStatus.UNAUTHORIZED
            elif await self._kube.may_get(user, PATH):
                status = HTTPStatus.OK
            else:
                status = HTTPStatus.FORBIDDEN
        except ApiError as error:
            logger.warning("a caller of %s can't be checked: %s", PATH, error)
            return HTTPStatus.SERVICE_UNAVAILABLE
        is_allowed = status is HTTPStatus.OK
        (self._refused if is_allowed else self._allowed).forget(key)
        (self._allowed if is_allowed else self._refused).put(key, status)
        return status


def _remembered(clock: Callable[[], float]) -> Remembered[bytes, HTTPStatus]:
    return Remembered(clock, seconds=REMEMBERED_SECONDS, most=MOST_REMEMBERED)
