"""Tests without a server: what is enqueued, and what jobs do with it.

Each test names its mode first (`recorder` or `inline`), so that it begins before the service does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import ANY

import httpx
from passports.tasks import Passport, Scan, app, read_passport, tell_customer

from identtqueue.testing import Inline, Recorder, RecordingContext, firings

PAGE = {"url": "s3://pages/1.png"}
EVA = {"number": "C01", "name": "Eva", "valid_until": "2031-05-01"}
GOOD = httpx.Response(200, json=EVA)
BUSY = httpx.Response(503, headers={"retry-after": "20"})
BAD = httpx.Response(422)

Web = httpx.AsyncClient


async def accepted(client: Web) -> str:
    """Send a page; return where its status is."""
    answer = await client.post("/passports", json=PAGE)
    assert answer.status_code == 202
    return f"/passports/{answer.json()['page']}"


async def test_a_page_is_enqueued(recorder: Recorder, client: Web) -> None:
    page = await accepted(client)
    task = recorder.assert_enqueued(read_passport, Scan(url="s3://pages/1.png"), "acme")
    assert task.task_id == page.replace("/passports/", "passports:acme/")
    assert (await client.get(page)).json()["state"] == "pending"


async def test_a_bad_request_enqueues_nothing(recorder: Recorder, client: Web) -> None:
    assert (await client.post("/passports", json={})).status_code == 422
    recorder.assert_not_enqueued()


async def test_a_page_is_cancelled(recorder: Recorder, client: Web) -> None:
    page = await accepted(client)
    assert (await client.delete(page)).status_code == 204
    assert (await client.delete(page)).status_code == 409


async def test_others_do_not_see_it(recorder: Recorder, client: Web) -> None:
    page = await accepted(client)
    assert (await client.get(page, headers={"x-customer": "other"})).status_code == 404


async def test_a_page_is_read(inline: Inline, client: Web) -> None:
    page = await accepted(client)
    assert (await client.get(page)).json() == {
        "state": "succeeded",
        "progress": "reading",
        "passport": EVA,
        "error": None,
    }
    inline.assert_enqueued(tell_customer, "acme", "Passport C01 was read.")


async def test_a_page_is_read_while_the_caller_waits(inline: Inline, client: Web) -> None:
    assert (await client.post("/passports/now", json=PAGE)).json() == EVA


async def test_a_busy_scanner_is_asked_again(
    inline: Inline, client: Web, answers: list[httpx.Response]
) -> None:
    answers[:] = [BUSY, BUSY, GOOD]
    page = await accepted(client)
    assert (await client.get(page)).json()["state"] == "scheduled"
    assert (await inline.advance(39)).outcomes == ["retried"]
    assert (await inline.advance(1)).outcomes == ["succeeded", "succeeded"]
    assert (await client.get(page)).json()["passport"] == EVA


async def test_an_unreadable_page_is_not_tried_again(
    inline: Inline, client: Web, answers: list[httpx.Response]
) -> None:
    answers[:] = [BAD, BAD]
    status = (await client.get(await accepted(client))).json()
    assert (status["state"], status["error"]) == ("failed", "passports.tasks.Unreadable")
    assert (await client.post("/passports/now", json=PAGE)).status_code == 502
    assert inline.enqueued(tell_customer) == []


async def test_reminders_are_sent_on_weekdays() -> None:
    friday, tuesday = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 6, 12, tzinfo=UTC)
    fired = [f"{firing.at:%a %H:%M}" for firing in firings(app, friday, tuesday)]
    assert fired == ["Fri 06:00", "Mon 06:00", "Tue 06:00"]


async def test_the_job_alone(
    recorder: Recorder,
    scanner: httpx.AsyncClient,
    make_context: Callable[..., RecordingContext],
) -> None:
    ctx = make_context(read_passport, state={"scanner": scanner})
    assert await read_passport(ctx, Scan(url="a"), "acme") == Passport.model_validate(EVA)
    assert ctx.progress == ["reading"]
    recorder.assert_enqueued(tell_customer, "acme", ANY)
