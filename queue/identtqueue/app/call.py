"""A job with its arguments, which is not enqueued yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from identtqueue.protocol.submission import Submission

if TYPE_CHECKING:
    from identtqueue.app.job import AppJob

R_co = TypeVar("R_co", covariant=True)


class JobCall(msgspec.Struct, Generic[R_co], frozen=True):
    """A job with its arguments, not enqueued yet; `enqueue_many` takes these."""

    job: AppJob[Any, R_co]
    submission: Submission


class NeedsNoArguments(Protocol):
    """A job that can be called without arguments, for type checkers."""

    def call(self, /) -> JobCall[Any]:
        """Bind no arguments to the job."""
