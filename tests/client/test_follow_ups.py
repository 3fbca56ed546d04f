"""Follow-up tasks: the documentation's example is run as it is printed."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from identtqueue import Client, Context, InvalidInput, State, Submission, TaskOptions
from identtqueue.protocol.submission import new_task
from testing.redis_server import RedisServer
from testing.serving import serving

LIBRARY = Path(__file__).parents[2] / "docs/library/follow-ups.md"


def documented(address: str, queue: str) -> dict[str, object]:
    """Run the example's definitions with this test's Redis and queues; return its names."""
    blocks = re.findall(r"^```python\n(.*?)^```", LIBRARY.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if "follow_up_id" in block]
    for shown, meant in (
        ('"redis://redis"', repr(address)),
        ('"mrz"', repr(queue)),
        ('"checks"', repr(f"{queue}-checks")),
    ):
        assert shown in code
        code = code.replace(shown, meant)
    names: dict[str, object] = {}
    exec(compile(code, str(LIBRARY), "exec"), names)
    return names


def context(task_id: str, attempt: int) -> Context:
    return Context(
        task_id=task_id,
        queue=task_id.partition(":")[0],
        function_name="read_mrz",
        attempt=attempt,
        failures=0,
        enqueued_at_ms=0,
        deadline=None,
        state={},
        logger=logging.getLogger(),
    )


async def test_the_documented_example(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    names = documented(redis_server.address, queue)
    app, read_mrz = names["app"], names["read_mrz"]
    async with serving(app.worker()):
        await app.connect()
        task = await read_mrz.options(task_id="42").enqueue("a.jpg")
        assert await task.result(30) == "the line in a.jpg"
        check = f"{queue}-checks:{queue}/42/check"
        assert await client.wait_for_result(check, 30) is True


async def test_however_often_the_first_runs_there_is_one_follow_up(
    redis_server: RedisServer, client: Client, raw: redis.Redis, queue: str
) -> None:
    """A worker is lost right after the enqueue, and a lost attempt continues after the end."""
    names = documented(redis_server.address, queue)
    app, read_mrz = names["app"], names["read_mrz"]
    checks = f"{queue}-checks"
    async with app:
        for attempt in (1, 2, 3):
            await read_mrz(context(f"{queue}:4:2", attempt), "a.jpg")
        one = f"{checks}:{queue}/4:2/check"
        assert raw.lrange(f"idtq:{{{checks}}}:pending", 0, -1) == [one.encode()]
        async with serving(app.worker(queues=[checks])):
            assert await client.wait_for_result(one, 30) is True
        await app.connect()  # the worker's shut-down has closed it
        await read_mrz(context(f"{queue}:4:2", 1), "a.jpg")
    assert await client.queue_length(checks) == 0
    assert await client.get_status(one) is State.SUCCEEDED


UNIQUE = st.text(st.sampled_from("a/:-%2F ü"), min_size=1, max_size=6) | st.text(
    st.sampled_from("a/"), min_size=240, max_size=255
)
PARENTS = st.tuples(st.sampled_from(["a", "a-b", "2f"]), UNIQUE)


@pytest.mark.slow
@given(st.lists(st.tuples(PARENTS, UNIQUE), min_size=2, max_size=8, unique=True))
@example([(("ocr", "42"), "mail"), (("face", "42"), "mail")])
@example([(("ocr", "order-1"), "2-mail"), (("ocr", "order-1-2"), "mail")])
@example([(("ocr", "a/b"), "c"), (("ocr", "a"), "b/c")])
@example([(("ocr", "a"), "b/c"), (("ocr", "a"), "b%2Fc")])
@example([(("ocr", "z" * 255), "mail"), (("ocr", "z" * 255), "male")])
def test_two_follow_ups_never_share_an_id(
    asked: list[tuple[tuple[str, str], str]],
) -> None:
    """They differ in any queue, even in that of one of the parent tasks."""
    for target in ("a", "ocr", "mails"):
        ids = set()
        for (queue, unique), name in asked:
            own = context(f"{queue}:{unique}", 1).follow_up_id(name)
            options = TaskOptions(task_id=own)
            task_id = new_task(Submission(target, "mail", options=options), 1_000).task_id
            assert task_id == f"{target}:{own}"
            ids.add(task_id)
        assert len(ids) == len(asked)


@pytest.mark.parametrize("name", ["", "a\nb", None, 5, "x" * 256])
def test_names_that_no_follow_up_has(name: object) -> None:
    with pytest.raises(InvalidInput, match="follow_up_id"):
        context("q:1", 1).follow_up_id(name)
