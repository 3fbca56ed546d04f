"""Questions that callers may ask: about queues, workers, tasks."""

from typing import Any

import msgspec

from identtqueue.admin import Filter
from identtqueue.admin import Place as State
from identtqueue_operator.gateway.callers import Part
from identtqueue_operator.gateway.directory import Place
from identtqueue_operator.gateway.refusals import Refused, bad_request
from identtqueue_operator.gateway.request import Asked, Json

LARGEST_PAGE = 200
DEFAULT_PAGE = 50
SCAN_LIMIT = 5_000
"""Most entries that are looked at for a page; the caller asks for the next one."""
LARGEST_VALUE = 256 * 1024
"""Longest JSON of arguments, a result or a progress value that is shown, in bytes."""

HIDDEN = "not shown: it takes the right to get taskqueues/arguments"


async def queues(asked: Asked) -> Json:
    """Return how many tasks each queue has. One that can't be read has the reason."""
    return {"queues": [await _depth(place) for place in asked.directory.places(asked.key)]}


async def _depth(place: Place) -> Json:
    row: Json = {"trigger": place.trigger, "queue": place.queue}
    try:
        depth = (await place.admin.depths([place.queue]))[place.queue]
    except Refused as refused:
        return row | {"error": str(refused)}
    return {**row, **plain(depth)}


async def workers(asked: Asked) -> Json:
    """Return the workers, each once, with all queues of the TaskQueue that it serves."""
    found: dict[str, Json] = {}
    problems = []
    for place in asked.directory.places(asked.key):
        try:
            rows = await place.admin.workers(place.queue)
        except Refused as refused:
            problems.append(str(refused))
            continue
        for row in rows:
            known = found.setdefault(row.worker_id, plain(row) | {"queues": [], "in_flight": 0})
            known["queues"].append(place.queue)
            known["in_flight"] += row.in_flight
            known["draining"] = known["draining"] or row.draining
    ordered = sorted(found.values(), key=lambda row: (row["host"], row["worker_id"]))
    return {"workers": ordered, "problems": problems}


async def tasks(asked: Asked) -> Json:
    """Return a page of the tasks of one queue in one state."""
    place = asked.directory.place(asked.key, asked.text("queue"), asked.text("trigger"))
    names = {"queue", "trigger", "state", "limit", "cursor", "order"}
    conditions = {str(k): str(v) for k, v in asked.words.items() if k not in names}
    page = await place.admin.tasks(
        place.queue,
        state_of(asked),
        await filter_of(asked, conditions),
        newest_first=asked.text("order", "newest") != "oldest",
        limit=asked.number("limit", DEFAULT_PAGE, LARGEST_PAGE),
        cursor=asked.text("cursor") or None,
        scan_limit=SCAN_LIMIT,
    )
    return {
        "queue": place.queue,
        "tasks": [plain(row) for row in page.rows],
        "cursor": page.cursor,
        "scanned": page.scanned,
        "total": page.total,
    }


async def task(asked: Asked) -> Json:
    """Return a task whole. Arguments, result and progress take a right of their own."""
    queue = asked.task_id.partition(":")[0]
    place = asked.directory.place(asked.key, queue, asked.text("trigger"))
    record = plain(await place.admin.record(asked.task_id))
    if await asked.may("get", Part.ARGUMENTS):
        record["call"] = _bounded(record["call"])
        record["result"] = _bounded(record["result"])
        record["info"]["progress"] = _bounded(record["info"]["progress"])
    else:
        record |= {"call": None, "call_note": HIDDEN, "result": None, "result_note": HIDDEN}
        record["info"]["progress"] = None
    return {"task": record}


async def count(asked: Asked) -> Json:
    """Return how many tasks of one queue, in one state, match."""
    place = asked.directory.place(asked.key, asked.text("queue"), asked.text("trigger"))
    names = {"queue", "trigger", "state"}
    conditions = {str(k): str(v) for k, v in asked.words.items() if k not in names}
    found = await place.admin.count(
        place.queue, state_of(asked), await filter_of(asked, conditions)
    )
    return {"queue": place.queue, "count": int(found), "exact": found.exact}


def state_of(asked: Asked) -> State:
    """Return the list that a request is about.

    Raises:
        Refused: there is no such list.
    """
    state = asked.text("state", State.PENDING)
    if state not in set(State):
        raise bad_request(f"state {state!r} is none of {', '.join(State)}")
    return State(state)


async def filter_of(asked: Asked, words: dict[str, str]) -> Filter:
    """Read the conditions of a request.

    Raises:
        InvalidInput: a condition is not allowed.
        Refused: the caller searches in arguments that it may not read.
    """
    wanted = Filter.parse({name: text for name, text in words.items() if text})
    if wanted.text is not None:
        await asked.check("get", Part.ARGUMENTS)
    return wanted


def plain(value: Any) -> Any:
    """Convert a value to what JSON has: bytes become base64, other unknown types text."""
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def encode(value: Json) -> bytes:
    """Write a line of JSON."""
    return msgspec.json.encode(value) + b"\n"


def _bounded(value: Any) -> Any:
    """Return a value, or in words how large it is."""
    size = len(msgspec.json.encode(value))
    return value if size <= LARGEST_VALUE else f"not shown: {size:,} bytes of JSON"
