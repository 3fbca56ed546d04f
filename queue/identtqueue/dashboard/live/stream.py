"""Server-sent events: what has changed on a page, as a browser's EventSource reads it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response, StreamingResponse

from identtqueue.dashboard.live.hub import Hub
from identtqueue.dashboard.live.view import Visit

LONGEST_SECONDS: Final = 600.0
"""How long one stream lasts. The browser opens the next one, and its user is identified again."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def stream(hub: Hub, visit: Visit) -> Response:
    """Answer with the stream of a page; with 503 if too many browsers are fed, or the server ends.

    Args:
        hub: feeds it.
        visit: the page.
    """
    if not hub.is_open:
        return Response("no more browsers are fed now", 503, {"Retry-After": "30"})
    return StreamingResponse(_events(hub, visit), 200, _HEADERS, "text/event-stream")


async def _events(hub: Hub, visit: Visit) -> AsyncIterator[str]:
    until = time.monotonic() + LONGEST_SECONDS
    yield "retry: 3000\n\n"
    async with aclosing(hub.follow(visit)) as news:
        async for changed, trouble in news:
            yield _event(changed, trouble)
            if time.monotonic() > until:
                return


def _event(changed: dict[str, str], trouble: str | None) -> str:
    """Write news as events. JSON without line breaks is one line of data, whatever it holds."""
    lines = ""
    if changed:
        lines += f"event: parts\ndata: {json.dumps(changed)}\n\n"
    if trouble is not None:
        lines += f"event: trouble\ndata: {json.dumps(trouble)}\n\n"
    return lines or ": still here\n\n"
