"""The service's own tests, by the book: a worker in burst mode, on a real Redis."""

import pytest
from arq import Worker
from jobs import WorkerSettings, check_mrz, shutdown, startup
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, Passports


@pytest.fixture
async def passports():
    async with Passports() as service:
        await service.redis.flushdb()
        yield service


async def work_until_idle(passports):
    worker = Worker(
        WorkerSettings.functions,
        redis_pool=passports.redis,
        on_startup=startup,
        on_shutdown=shutdown,
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
    )
    await worker.main()


async def test_a_job_is_a_function(passport):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    assert await check_mrz({}, passport) == ["number", "line"]


async def test_a_good_passport_is_accepted(passports, passport):
    await passports.submit(passport)
    assert await passports.status(passport) == "waiting"
    await work_until_idle(passports)
    assert await passports.status(passport) == "done"
    assert (await passports.report(passport, 5))["verdict"] == "accepted"


async def test_a_busy_register_is_asked_again(passports, passport, register):
    register.busy[NUMBER] = 2
    await passports.submit(passport)
    await work_until_idle(passports)
    assert await passports.status(passport) == "done"


async def test_a_register_that_stays_busy_fails_the_check(passports, passport, register):
    register.busy[NUMBER] = 100
    await passports.submit(passport)
    await work_until_idle(passports)
    assert await passports.status(passport) == "failed"
    with pytest.raises(CheckFailed):
        await passports.report(passport, 5)
    assert register.asked[NUMBER] == 4
