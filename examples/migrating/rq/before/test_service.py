"""The service's own tests, by the book: SimpleWorker in burst mode, on a real Redis."""

import pytest
from jobs import check_mrz, redis
from passports import documents
from rq import SimpleWorker
from samples import FORGED, NUMBER
from service import CheckFailed, queue, report, status, submit


@pytest.fixture(autouse=True)
def clean():
    redis.flushdb()


def work_until_idle():
    SimpleWorker([queue], connection=redis).work(burst=True)


def test_a_job_is_a_function(passport):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    assert check_mrz(passport) == ["number", "line"]


def test_a_good_passport_is_accepted(passport):
    submit(passport)
    assert status(passport) == "waiting"
    work_until_idle()
    assert status(passport) == "done"
    assert report(passport, 5)["verdict"] == "accepted"


def test_a_busy_register_is_asked_again(passport, register):
    register.busy[NUMBER] = 2
    submit(passport)
    work_until_idle()
    assert (status(passport), register.asked[NUMBER]) == ("done", 3)


def test_a_register_that_stays_busy_fails_the_check(passport, register):
    register.busy[NUMBER] = 100
    submit(passport)
    work_until_idle()
    assert (status(passport), register.asked[NUMBER]) == ("failed", 4)
    with pytest.raises(CheckFailed):
        report(passport, 5)
