"""Tests with the real worker and a real server: that all of it fits together."""

from __future__ import annotations

import httpx

from identtqueue.testing import BurstWorker

PAGE = {"url": "s3://pages/1.png"}

Web = httpx.AsyncClient


async def test_a_page_is_read(worker: BurstWorker, client: Web) -> None:
    page = (await client.post("/passports", json=PAGE)).json()["page"]
    assert (await client.get(f"/passports/{page}")).json()["state"] == "pending"
    assert (await worker.run()).jobs == ["read_passport", "tell_customer"]
    assert (await client.get(f"/passports/{page}")).json()["passport"]["name"] == "Eva"


async def test_a_page_is_read_while_the_caller_waits(worker: BurstWorker, client: Web) -> None:
    async with worker.serving():
        assert (await client.post("/passports/now", json=PAGE)).json()["name"] == "Eva"


async def test_a_page_that_cannot_be_read(
    worker: BurstWorker, client: Web, answers: list[httpx.Response]
) -> None:
    answers[:] = [httpx.Response(422)]
    page = (await client.post("/passports", json=PAGE)).json()["page"]
    assert (await worker.run()).outcomes == ["failed"]
    assert (await client.get(f"/passports/{page}")).json()["state"] == "failed"


async def test_a_waiting_page_is_cancelled(worker: BurstWorker, client: Web) -> None:
    page = (await client.post("/passports", json=PAGE)).json()["page"]
    assert (await client.delete(f"/passports/{page}")).status_code == 204
    assert not await worker.run()


async def test_the_schedule_enqueues_what_the_job_takes(worker: BurstWorker) -> None:
    (reminder,) = await worker.fire("remind", raise_failures=True)
    assert reminder.value == 30
