"""A back office without asyncio: a WSGI application that looks at queues and replays what failed.

Its one `BlockingAdmin` is made and used when the module is imported, which is before gunicorn
forks with `--preload`. Threads share it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from identtqueue.admin import Act, BlockingAdmin, Filter, Place
from identtqueue.errors import TaskNotFound

admin = BlockingAdmin()
VERSION = admin.server().version


def look(queue: str, _words: dict[str, str]) -> Any:
    """List the dead letters, page by page."""
    found, cursor = [], None
    while True:
        page = admin.tasks(queue, Place.DEAD, limit=7, cursor=cursor)
        found += [row.task_id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return {"dead": found, "redis": VERSION}


def replay_one(_queue: str, words: dict[str, str]) -> Any:
    """Replay one task, in the name of the one who asks."""
    return {"replayed": admin.acting_as(words["who"]).replay([words["id"]])}


def replay_all(queue: str, words: dict[str, str]) -> Any:
    """Replay all that match, step by step."""
    changed = 0
    acting = admin.acting_as(words["who"])
    for step in acting.act(Act.REPLAY, queue, Place.DEAD, Filter(job=words["job"])):
        changed = step.changed
    return {"changed": changed}


def show(_queue: str, words: dict[str, str]) -> Any:
    """Show one task."""
    return {"state": admin.record(words["id"]).info.state}


PAGES: dict[str, Callable[[str, dict[str, str]], Any]] = {
    "dead": look,
    "replay": replay_one,
    "replay-all": replay_all,
    "task": show,
}


def office(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer `/PAGE/QUEUE?WORDS` with JSON."""
    page, _, queue = environ["PATH_INFO"].strip("/").partition("/")
    words = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    status, answer = "404 Not Found", {}
    try:
        if page in PAGES:
            status, answer = "200 OK", PAGES[page](queue, words)
    except TaskNotFound:
        pass
    start_response(status, [("Content-Type", "application/json")])
    more = {"process": os.getpid(), "thread": threading.get_ident()}
    return [json.dumps(answer | more).encode()]
