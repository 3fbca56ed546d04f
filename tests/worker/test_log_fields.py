"""The fields of log lines about attempts, and of what jobs log: as docs/logs.md lists them."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from identtqueue import Client, RetryPolicy, TaskFailed
from identtqueue.logs import (
    ATTEMPT_FIELDS,
    BASIC_FIELDS,
    END_FIELDS,
    JsonFormatter,
    attempt_fields,
)
from identtqueue_operator.logs import FIELDS as OPERATOR_FIELDS
from testing import process_jobs
from testing.redis_server import RedisServer
from testing.serving import Serve, serving

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Provide what is logged, as the JSON formatter writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


async def in_the_loop(_ctx):
    logging.getLogger("a.package").info("from the loop", extra={"pages": 3})
    return attempt_fields()


def in_a_thread(_ctx):
    logging.getLogger("a.package").info("from a thread")
    return attempt_fields()


def fails(_ctx):
    raise LookupError("dark")


def test_the_page_lists_exactly_the_fields() -> None:
    table = PAGE.read_text("utf-8").split("\n| field | on which records | value |\n")[1]
    rows = [row.split("|")[1] for row in table.split("\n\n")[0].splitlines()[1:]]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    known = (*BASIC_FIELDS, *ATTEMPT_FIELDS, *END_FIELDS, *OPERATOR_FIELDS)
    assert sorted(listed) == sorted(known)


@pytest.mark.parametrize("job", [in_the_loop, in_a_thread], ids=lambda job: job.__name__)
async def test_what_a_job_logs_has_the_fields_of_its_attempt(
    client: Client, serve: Serve, queue: str, lines: Lines, job: Callable[..., Any]
) -> None:
    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    expected = {"task_id": task_id, "job": "job", "queue": queue, "attempt": 1}
    assert await client.wait_for_result(task_id, 30) == expected
    (line,) = [line for line in lines() if line["logger"] == "a.package"]
    assert line.items() >= expected.items()
    assert attempt_fields() == {}, "the test's own code belongs to no attempt"


@pytest.mark.slow
async def test_what_a_job_in_a_process_logs_has_them_too(
    client: Client, redis_server: RedisServer, queue: str, lines: Lines
) -> None:
    async with serving(process_jobs.app.worker([queue], redis_address=redis_server.address)):
        task_id = await client.enqueue_job(queue, "logs")
        await client.wait_for_result(task_id, 60)
    expected = {"task_id": task_id, "job": "logs", "queue": queue, "attempt": 1}
    found = {
        line["logger"]: line
        for line in lines()
        if line["logger"] in ("service", "identtqueue.job.logs")
    }
    assert len(found) == 2
    for line in found.values():
        assert line.items() >= expected.items()


async def test_the_end_of_an_attempt_is_one_line_with_its_traceback_in_a_field(
    client: Client, serve: Serve, queue: str, lines: Lines
) -> None:
    await serve({"fails": fails}, retry=RetryPolicy(max_retries=1, first_delay_seconds=0.01))
    task_id = await client.enqueue_job(queue, "fails")
    with pytest.raises(TaskFailed):
        await client.wait_for_result(task_id, 30)
    ends = [line for line in lines() if "outcome" in line]
    assert [(end["level"], end["outcome"], end["attempt"]) for end in ends] == [
        ("warning", "retried", 1),
        ("error", "failed", 2),
    ]
    for end in ends:
        assert set(end) == {*BASIC_FIELDS, *ATTEMPT_FIELDS, *END_FIELDS}
        assert end["message"].endswith(": LookupError: dark")
        assert end["exception"].startswith("Traceback")
        assert "in fails" in end["exception"]
