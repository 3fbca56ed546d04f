"""Jobs by what a direct call of them returns, for type checkers.

`@app.task` makes one of the two. To annotate a job, write `AppJob[[str], Mrz]`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from identtqueue.app.job import AppJob

if TYPE_CHECKING:
    from identtqueue.worker.context import Context

P = ParamSpec("P")
R = TypeVar("R")


class AsyncJob(AppJob[P, R]):
    """A job made of an async function: a direct call of it gives a coroutine."""

    def __call__(
        self, ctx: Context[Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """See `AppJob.__call__`."""
        return cast("Coroutine[Any, Any, R]", self.function(ctx, *args, **kwargs))


class PlainJob(AppJob[P, R]):
    """A job made of a plain function: a direct call of it gives its value."""

    def __call__(self, ctx: Context[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `AppJob.__call__`."""
        return cast("R", self.function(ctx, *args, **kwargs))
