"""The service's own tests: tasks as functions, and Celery's worker in a thread on a real Redis."""

import pytest
from celery.contrib.testing.worker import start_worker
from jobs import app, check_mrz
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, report, status, submit


@pytest.fixture
def worker():
    with start_worker(app, perform_ping_check=False, pool="threads", concurrency=2):
        yield


def test_a_task_is_a_function(passport):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    assert check_mrz(passport) == ["number", "line"]


def test_a_good_passport_is_accepted(passport, worker):
    submit(passport)
    assert report(passport, 10)["verdict"] == "accepted"
    assert status(passport) == "done"


def test_a_busy_register_is_asked_again(passport, worker, register):
    register.busy[NUMBER] = 2
    submit(passport)
    assert report(passport, 10)["lost"] is False
    assert register.asked[NUMBER] == 3


def test_a_register_that_stays_busy_fails_the_check(passport, worker, register):
    register.busy[NUMBER] = 100
    submit(passport)
    with pytest.raises(CheckFailed):
        report(passport, 10)
    assert (status(passport), register.asked[NUMBER]) == ("failed", 4)
