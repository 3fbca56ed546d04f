"""Services under a real gunicorn that forks after it has imported them: `--preload`."""

from __future__ import annotations

import json
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from frameworks.gunicorn import Gunicorn
from identtqueue.admin import BlockingAdmin
from identtqueue.protocol.calls import reporting
from protocol.bench import FAILURE, Bench
from testing.processes import ROOT
from testing.redis_server import RedisServer
from testing.waiting import wait_until

OFFICE = Path(__file__).parent / "office"
Start = Callable[..., Gunicorn]


@pytest.fixture
def start(tmp_path: Path, redis_server: RedisServer) -> Iterator[Start]:
    """Provide `start("flask", "service:service", option, …)`."""
    made: list[Gunicorn] = []

    def one(example: str | Path, service: str, *options: str) -> Gunicorn:
        folder = ROOT / "examples" / example
        made.append(Gunicorn(folder, service, tmp_path, redis_server.address, *options))
        wait_until("it answers", lambda: made[0].ask("/none")[0] == 404, ignore=OSError)
        return made[0]

    yield one
    for each in made:
        each.destroy()


def ask_flask(server: Gunicorn, path: str, **form: str) -> tuple[int, Any]:
    return server.ask(path, urllib.parse.urlencode(form).encode() if form else None)


@pytest.mark.slow
def test_blocking_views_of_flask(start: Start) -> None:
    server = start("flask", "service:service", "--threads=8")
    server.start("identtqueue", "worker", "tasks:app", "--lease-seconds=5")
    texts = ["word " * n for n in range(1, 33)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda t: ask_flask(server, "/texts/now", text=t), texts))
    assert [status for status, _ in answers] == [200] * 32, server.said()
    assert [found["words"] for _, found in answers] == list(range(1, 33))
    processes = {found["process"] for _, found in answers}
    assert len(processes) == 2, "both processes have worked"
    assert server.server.pid not in processes

    status, placed = ask_flask(server, "/texts", text="one two")
    assert status == 202

    def has_succeeded() -> bool:
        return bool(ask_flask(server, f"/texts/{placed['id']}")[1]["state"] == "succeeded")

    wait_until("the task has succeeded", has_succeeded)
    assert ask_flask(server, "/texts/no-id")[0] == 404

    status, page = ask_flask(server, "/texts/now", text=" ")
    assert status == 502
    assert "there is no word" in page
    assert "tasks.py" not in page, "no traceback"
    assert server.end() == [0, 0]
    assert "Traceback" not in server.said()


@pytest.mark.slow
def test_async_views_of_fastapi(start: Start) -> None:
    server = start("fastapi", "passports.web:service", "--worker-class=asgi")
    headers = {"x-customer": "ada", "content-type": "application/json"}
    scan = json.dumps({"url": "https://scans/1"}).encode()
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda _: server.ask("/passports", scan, headers), range(24)))
    assert [status for status, _ in placed] == [202] * 24, server.said()
    pages = {found["page"] for _, found in placed}
    assert len(pages) == 24
    for page in pages:
        status, found = server.ask(f"/passports/{page}", headers={"x-customer": "ada"})
        assert (status, found["state"]) == (200, "pending")
    assert server.end() == [0]
    assert "Traceback" not in server.said()


@pytest.mark.slow
def test_views_that_look_at_queues_and_act(
    start: Start, redis_server: RedisServer, queue: str
) -> None:
    """One `BlockingAdmin`, made and used before the fork, in eight threads of each process."""
    bench = Bench(redis_server, queue)
    try:
        ids = bury(bench, 60)
        server = start(OFFICE, "office:office", "--threads=8")

        def ask(words: str) -> dict[str, Any]:
            status, answer = server.ask(words)
            assert status == 200, server.said()
            return answer

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(ask, [f"/dead/{queue}"] * 32))
            assert all(sorted(answer["dead"]) == sorted(ids) for answer in found)
            assert len({answer["process"] for answer in found}) == 2, "both processes have worked"
            assert len({answer["thread"] for answer in found}) > 2, "and several threads"
            assert server.server.pid not in {answer["process"] for answer in found}
            # Each id is asked for twice at the same time: one of the two replays it.
            asked = [f"/replay/{queue}?who=ada&id={task_id}" for task_id in ids[:20] * 2]
            replayed = [
                task_id for answer in pool.map(ask, asked) for task_id in answer["replayed"]
            ]
        assert sorted(replayed) == sorted(ids[:20])
        with ThreadPoolExecutor(2) as pool:
            asked = [f"/replay-all/{queue}?who=bob&job=job"] * 2
            assert sum(answer["changed"] for answer in pool.map(ask, asked)) == 40
        assert ask(f"/dead/{queue}")["dead"] == []
        assert ask(f"/task/{queue}?id={ids[0]}")["state"] == "pending"
        assert server.ask(f"/task/{queue}?id={queue}:none")[0] == 404
        with BlockingAdmin(redis_server.address) as admin:
            entries = admin.audit(queue, limit=1_000)
        changed = Counter[str]()
        for entry in entries:
            changed[entry.who] += entry.changed
        assert changed == {"ada": 20, "bob": 40}
        assert server.end() == [0]
        assert "Traceback" not in server.said()
    finally:
        bench.close()


def bury(bench: Bench, number: int) -> list[str]:
    """Make dead letters; return their ids."""
    names = [f"t{i}" for i in range(number)]
    bench.running("w", *names)
    for name in names:
        bench.run(reporting.bury(bench.queue, "w", bench.id(name), 1, FAILURE))
    return [bench.id(name) for name in names]
