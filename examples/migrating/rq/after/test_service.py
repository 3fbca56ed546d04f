"""The service's own tests: the real worker in burst mode, as the jobs run in processes, on a real server."""

import os

import pytest
from identtqueue.testing import BurstWorker
from jobs import app, check_mrz
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, report, status, submit


@pytest.fixture
def worker():
    with BurstWorker(app, os.environ["IDENTTQUEUE_REDIS_ADDRESS"], concurrency=2) as worker:
        yield worker


def work_until_idle(worker, passport):
    worker.run_sync()
    while status(passport) == "waiting":  # for the pause before a retry
        worker.run_sync()


def test_a_job_is_a_function(passport, make_context):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    check_mrz(make_context(), passport)
    assert documents.finding(passport, "mrz") == ["number", "line"]


def test_a_good_passport_is_accepted(worker, passport):
    submit(passport)
    assert status(passport) == "waiting"
    work_until_idle(worker, passport)
    assert status(passport) == "done"
    assert report(passport, 5)["verdict"] == "accepted"


def test_a_busy_register_is_asked_again(worker, passport, register):
    register.busy[NUMBER] = 2
    submit(passport)
    work_until_idle(worker, passport)
    assert (status(passport), register.asked[NUMBER]) == ("done", 3)


def test_a_register_that_stays_busy_fails_the_check(worker, passport, register):
    register.busy[NUMBER] = 100
    submit(passport)
    work_until_idle(worker, passport)
    assert (status(passport), register.asked[NUMBER]) == ("failed", 4)
    with pytest.raises(CheckFailed):
        report(passport, 5)
