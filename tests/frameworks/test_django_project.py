"""The Django example as its users run it: `manage.py`, processes, signals, reloading."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from identtqueue.admin import BlockingAdmin
from testing.processes import ROOT, environment
from testing.redis_server import RedisServer
from testing.waiting import wait_until

SECONDS = 30

EXAMPLE = ROOT / "examples" / "django"


class Manage:
    """`manage.py` of the example, with a database and a Redis of its own."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self._environment = environment(
            address,
            DATABASE=str(folder / "shop.sqlite3"),
            DJANGO_SETTINGS_MODULE="shop.settings",
        ) | {"PYTHONWARNINGS": "default"}
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, str(EXAMPLE / "manage.py"), *words],
            cwd=EXAMPLE,
            env=self._environment | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    def start(self, *words: str, **more: str) -> tuple[subprocess.Popen[bytes], Callable[[], str]]:
        """Start a command; return its process, and a function that reads what it has printed."""
        log = self.folder / f"log-{len(self._processes)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(EXAMPLE / "manage.py"), *words],
                cwd=EXAMPLE,
                env=self._environment | more,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        return process, log.read_text

    def destroy(self) -> None:
        """End all that runs, with its children."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def manage(tmp_path: Path, new_redis_server: Callable[..., RedisServer]) -> Iterator[Manage]:
    made = Manage(tmp_path, new_redis_server().address)
    yield made
    made.destroy()


@pytest.mark.slow
def test_the_example_passes_its_own_tests(manage: Manage) -> None:
    said = manage.run("test", "--noinput", DATABASE=":memory:")
    assert re.search(r"Ran 3 tests.*OK", said.stderr, re.DOTALL), said.stderr


PLACE = """
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
Client().post("/orders/", {"email": "ada@example.org", "item": "a lamp"})
"""
LOOK = """
from django.test import Client
print("=", Client().get("/orders/1/").json()["confirmation"])
"""


@pytest.mark.slow
def test_a_request_is_worked_off_by_a_worker(manage: Manage) -> None:
    manage.run("shell", "--no-imports", "-c", PLACE)
    options = ("--grace-seconds=5", "--concurrency=2", "--no-keep-arguments")
    worker, log = manage.start("identtqueue_worker", *options)
    wait_until("the order is confirmed", lambda: "order 1 is confirmed" in log(), SECONDS)
    wait_until("its end is logged", lambda: "attempt 1 succeeded" in log())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, log()
    text = log()
    assert "starting with 2 jobs (orders.tasks.confirm, orders.tasks.count_orders)" in text
    assert "for queues default.high:100, emails.high:100, default:10, emails:10" in text
    line = r"INFO orders\.tasks \[(emails\.high:[\w-]+)\] order 1 is confirmed"
    confirmed = re.search(line, text)
    assert confirmed
    with BlockingAdmin(manage.address) as admin:
        assert admin.record(confirmed[1]).call is None, "--no-keep-arguments"
    assert text.count("attempt 1 succeeded") == 1, "LOGGING has a handler, so there is no second"
    assert "Subject: Your order 1" in text
    assert "= SUCCESSFUL" in manage.run("shell", "--no-imports", "-c", LOOK).stdout


@pytest.mark.slow
def test_the_worker_starts_anew_when_the_code_changes(manage: Manage) -> None:
    module = manage.folder / "further.py"
    module.write_text("print('first edition', flush=True)\n")
    path = os.pathsep.join([str(manage.folder), environment("")["PYTHONPATH"]])
    words = ("identtqueue_worker", "--reload", "--import", "further", "--queue", "default")
    parent, log = manage.start(*words, PYTHONPATH=path)
    wait_until("it works", lambda: log().count("queues default") == 2, SECONDS)
    assert log().count("first edition") == 1
    module.write_text("print('second edition', flush=True)\n")
    changes = itertools.count(int(module.stat().st_mtime) + 5)

    def is_noticed() -> bool:
        """Change the file again: the reloader compares it with its last look, which may come."""
        changed_at = next(changes)
        os.utime(module, (changed_at, changed_at))
        return "changed, reloading" in log()

    wait_until("the change is noticed", is_noticed, SECONDS, every=1.5)
    wait_until("the new edition works", lambda: log().count("queues default") >= 4, SECONDS)
    assert "second edition" in log()
    assert "Traceback" not in log()
    parent.send_signal(signal.SIGTERM)
    parent.wait(30)
