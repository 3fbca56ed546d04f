"""Database connections around a task, as Django keeps them around a request.

A connection that has failed or is older than `CONN_MAX_AGE` must not reach the next task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections, reset_queries


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Close old connections of this thread before and after the block."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


@asynccontextmanager
async def connections_of_its_own() -> AsyncIterator[None]:
    """Give the async code in the block a thread for the ORM, and close its connections at the end.

    Without this, the ORM calls of all async tasks in the process would share one thread: a slow
    query of one task would hold up the others.
    """
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            # The thread ends with the context, so a connection that stayed open would be lost.
            await sync_to_async(connections.close_all)()
