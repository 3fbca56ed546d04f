"""Changes by callers: of tasks, pauses, drains. Everything is done in the caller's name."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from identtqueue.admin import Act
from identtqueue_operator.gateway.directory import Place
from identtqueue_operator.gateway.reading import filter_of, plain, state_of
from identtqueue_operator.gateway.refusals import bad_request
from identtqueue_operator.gateway.request import Asked, Json
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import DRAIN_BY_HAND
from identtqueue_operator.logs import about

logger = logging.getLogger(__name__)

MOST_IDS = 1_000
"""Most tasks that one request names."""
ACT_SECONDS = 300.0
"""Time after which an act on many tasks stops; its cursor says where to go on."""
ACTS = (Act.CANCEL, Act.REPLAY, Act.DISCARD, Act.START_NOW)
"""Acts on tasks. To move them elsewhere takes access to the other queue."""


async def act(asked: Asked) -> AsyncIterator[Json]:
    """Act on the named tasks, or on all of one queue and state that match; yield the progress."""
    name = asked.text("act")
    if name not in set(ACTS):
        raise bad_request(f"act {name!r} is none of {', '.join(ACTS)}")
    place = asked.directory.place(asked.key, asked.text("queue"), asked.text("trigger"))
    admin = place.admin.acting_as(actor(asked), audited=True)
    ids = asked.texts("ids", MOST_IDS)
    foreign = next((each for each in ids if each.partition(":")[0] != place.queue), None)
    if foreign is not None:
        raise bad_request(f"{foreign} is no task of queue {place.queue}")
    if ids:
        changed = await admin.act_on(Act(name), ids)
        _log(asked, f"{name} of {len(changed)} tasks of queue {place.queue} by their ids")
        yield {"changed_ids": changed, "changed": len(changed), "done": True}
        return
    wanted = await filter_of(asked, asked.filter_words())
    until = asyncio.get_running_loop().time() + ACT_SECONDS
    state, cursor, done = state_of(asked), asked.text("cursor") or None, None
    steps = admin.act(Act(name), place.queue, state, wanted, cursor=cursor)
    async with aclosing(steps):  # type: ignore[type-var]  # it is a generator
        async for done in steps:
            yield plain(done)
            if asyncio.get_running_loop().time() > until:
                break
    changed_count = done.changed if done else 0
    _log(asked, f"{name} of {changed_count} {state} tasks of queue {place.queue}: {wanted}")


async def pause(asked: Asked) -> Json:
    """Pause or resume queues, or one job in them."""
    stop, job = asked.words.get("paused"), asked.text("job")
    if not isinstance(stop, bool):
        raise bad_request("paused must be true or false")
    places = _named(asked)
    changed = []
    for place in places:
        admin = place.admin.acting_as(actor(asked), audited=True)
        if job:
            done = await (admin.pause_job if stop else admin.resume_job)(place.queue, job)
        else:
            done = await (admin.pause if stop else admin.resume)(place.queue)
        if done:
            changed.append(place.queue)
    names = ", ".join(place.queue for place in places)
    _log(asked, f"{'pause' if stop else 'resume'} of {job or 'all jobs'} in {names}")
    return {"queues": [place.queue for place in places], "changed": changed}


def _named(asked: Asked) -> list[Place]:
    """Return the queues that a request names; without names, all of the TaskQueue."""
    names = asked.texts("queues", 100)
    if not names:
        return asked.directory.places(asked.key)
    return [asked.directory.place(asked.key, name, asked.text("trigger")) for name in names]


async def drain(asked: Asked, kube: Kube) -> Json:
    """Have the workers of a pod drain, or call them back.

    The pod gets an annotation, so that it stays drained: the operator calls workers back that drain
    without a reason. Its next round, which begins at once, asks the workers.
    """
    stop = asked.words.get("drain")
    if not isinstance(stop, bool):
        raise bad_request("drain must be true or false")
    pod = asked.directory.pod(asked.key, asked.text("pod"))
    changed = pod.drains_by_hand is not stop
    if changed:
        await kube.annotate_pod(pod.key, {DRAIN_BY_HAND: actor(asked) if stop else None})
        asked.directory.reconciler(asked.key).look()
        _log(asked, f"{'drain' if stop else 'call back'} of pod {pod.key.name}")
    return {"pod": pod.key.name, "changed": changed}


def actor(asked: Asked) -> str:
    """Return the name under which the audit lists record the caller."""
    return f"kubectl:{asked.caller.name}"


def _log(asked: Asked, what: str) -> None:
    logger.info("%s: %s: %s", asked.key, asked.caller.name, what, extra=about(asked.key))
