"""The service's own tests: the real worker on a real server, since the jobs run in processes."""

import asyncio
import os

import pytest
from jobs import app, check_mrz
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, report, status, submit

from identtqueue.testing import BurstWorker


@pytest.fixture
def worker():
    address = os.environ["IDENTTQUEUE_REDIS_ADDRESS"]  # the jobs' processes use the same
    with BurstWorker(app, address, concurrency=1) as worker:
        yield worker


def test_a_job_is_a_function(passport, make_context):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    check_mrz(make_context(), passport)
    assert documents.finding(passport, "mrz") == ["number", "line"]


def test_a_good_passport_is_accepted(worker, passport):
    submit(passport)
    assert status(passport) == "waiting"
    worker.run_sync()
    assert status(passport) == "done"
    assert report(passport, 5)["verdict"] == "accepted"


async def test_a_busy_register_is_asked_again(worker, passport, register):
    register.busy[NUMBER] = 2
    submit(passport)
    async with worker.serving():
        await asyncio.to_thread(report, passport, 10)
    assert (status(passport), register.asked[NUMBER]) == ("done", 3)


async def test_a_register_that_stays_busy_fails_the_check(worker, passport, register):
    register.busy[NUMBER] = 100
    submit(passport)
    async with worker.serving():
        with pytest.raises(CheckFailed):
            await asyncio.to_thread(report, passport, 10)
    assert (status(passport), register.asked[NUMBER]) == ("failed", 4)
