"""Options of a job: each is declared once, and every way to declare a job takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from msgspec.structs import fields

from identtqueue import App, Context, InvalidInput, Job, RateLimit, RetryPolicy
from identtqueue.errors import UnknownOption
from identtqueue.job_options import JobKeywords, JobOptions

EXAMPLES: dict[str, Any] = {
    "run_in": "process",
    "timeout_seconds": 5,
    "retry": RetryPolicy(max_retries=2),
    "max_running": 3,
    "rate_limit": RateLimit(100, per_seconds=60),
}
"""A value of each option that is not its default."""

BAD: dict[str, tuple[object, str]] = {
    "run_in": ("fibre", "job work: run_in='fibre': must be loop, inline, thread or process"),
    "timeout_seconds": (0, "job work: timeout_seconds=0: must be a number, more than 0"),
    "retry": (3, r"job work: retry=3: give RetryPolicy\(max_retries=3\)"),
    "max_running": (0, "max_running=0: must be a whole number, 1 or more"),
    "rate_limit": (9, r"rate_limit=9: give RateLimit\(100, per_seconds=60\)"),
}
"""A value of each option that breaks its rule, and the message."""


LIBRARY_PAGE = Path(__file__).parents[2] / "docs/library/jobs.md"


def work(_ctx: Context) -> None: ...


def test_there_is_an_example_of_each_option() -> None:
    names = {option.name for option in fields(JobOptions)}
    assert names == EXAMPLES.keys() == BAD.keys()


def test_the_documentation_has_each_option_in_its_table() -> None:
    table = LIBRARY_PAGE.read_text("utf-8").split("| option | meaning | default |\n")[1]
    rows = re.findall(r"^\| `(\w+)` \|", table.split("\n\n")[0], re.MULTILINE)
    assert rows == [option.name for option in fields(JobOptions)]


def test_type_checkers_know_the_options_that_there_are() -> None:
    assert get_type_hints(JobKeywords) == get_type_hints(JobOptions)


@pytest.mark.parametrize("option", fields(JobOptions), ids=lambda option: option.name)
def test_every_option_has_a_default(option: Any) -> None:
    assert option.default is not msgspec.NODEFAULT
    assert option.default != EXAMPLES[option.name]


def test_what_an_app_declares_is_what_its_worker_runs() -> None:
    app = App("redis://localhost")
    declared = app.task(**EXAMPLES)(work)
    assert declared.job_options == JobOptions(**EXAMPLES)
    job = Job(name="work", function=work, **declared.job_options.as_keywords())
    assert {name: getattr(job, name) for name in EXAMPLES} == EXAMPLES


@pytest.mark.parametrize("name", BAD)
def test_apps_and_workers_refuse_the_same(name: str) -> None:
    value, message = BAD[name]
    with pytest.raises(InvalidInput, match=message):
        App("redis://localhost").task(**{name: value})(work)
    with pytest.raises(InvalidInput, match=message):
        Job(name="work", function=work, **{name: value})


def test_an_option_that_does_not_exist() -> None:
    with pytest.raises(UnknownOption, match="'max_runing': did you mean max_running"):
        App("redis://localhost").task(max_runing=4)(work)
    with pytest.raises(TypeError, match="Unexpected keyword argument 'max_runing'"):
        Job(name="work", function=work, max_runing=4)
