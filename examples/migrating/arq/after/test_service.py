"""The service's own tests: jobs run inline, without a server."""

import pytest
from jobs import app, check_mrz
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, Passports


@pytest.fixture
def identtqueue_app():
    return app


@pytest.fixture
async def passports(inline):
    async with Passports() as service:
        yield service


async def test_a_job_is_a_function(passport, make_context):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    assert await check_mrz(make_context(), passport) == ["number", "line"]


async def test_a_good_passport_is_accepted(passports, passport, inline):
    inline.at_once = False
    await passports.submit(passport)
    assert await passports.status(passport) == "waiting"
    await inline.run()
    assert await passports.status(passport) == "done"
    assert (await passports.report(passport, 5))["verdict"] == "accepted"


async def test_a_busy_register_is_asked_again(passports, passport, inline, register):
    register.busy[NUMBER] = 2
    await passports.submit(passport)
    await inline.advance(10)  # the pauses before the retries pass at once
    assert await passports.status(passport) == "done"


async def test_a_register_that_stays_busy_fails_the_check(passports, passport, inline, register):
    register.busy[NUMBER] = 100
    await passports.submit(passport)
    await inline.advance(10)
    assert await passports.status(passport) == "failed"
    with pytest.raises(CheckFailed):
        await passports.report(passport, 5)
    assert register.asked[NUMBER] == 4
