"""The service's own tests: jobs run inline, without a server."""

import pytest
from jobs import app, check_mrz
from passports import documents
from samples import FORGED, NUMBER
from service import CheckFailed, report, status, submit


@pytest.fixture
def identtqueue_app():
    return app


def test_a_job_is_a_function(passport, make_context):
    documents.folder(passport).joinpath("mrz.txt").write_text(FORGED)
    check_mrz(make_context(), passport)
    assert documents.finding(passport, "mrz") == ["number", "line"]


def test_a_good_passport_is_accepted(inline, passport):
    submit(passport)
    assert report(passport, 10)["verdict"] == "accepted"
    assert status(passport) == "done"


def test_a_busy_register_is_asked_again(inline, passport, register):
    register.busy[NUMBER] = 2
    submit(passport)
    assert report(passport, 10)["lost"] is False
    assert register.asked[NUMBER] == 3


def test_a_register_that_stays_busy_fails_the_check(inline, passport, register):
    register.busy[NUMBER] = 100
    submit(passport)
    with pytest.raises(CheckFailed):
        report(passport, 10)
    assert (status(passport), register.asked[NUMBER]) == ("failed", 4)
