"""The example applications do the same before and after they move to idenTTqueue.

Each plays one scene: passports are submitted, then its processes are started, on a real Redis and
in the environment of its own library.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.migrating.shared.samples import BLURRED, FORGED, Register, image, line, upload
from migrating.applications import AFTER, BEFORE
from migrating.stage import Application, Process, Service, Stage
from testing.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first time, it installs the peers

GOOD, FAKE, GREY, BUSY, DOWN, STUCK = "good", "fake", "grey", "busy", "down", "stuck"
NUMBERS = {GOOD: "X1000000A", GREY: "X1000000B", BUSY: "X1000000C", DOWN: "X1000000D"}


@dataclass
class Scene:
    """The observations of an application.

    Attributes:
        waiting: the status of each passport before any worker was there.
        ended: the status of each passport at the end.
        reports: the report of each, or the service's error.
        asked: how often the register was asked for each passport.
        forgotten: whether the clock has had an old passport deleted.
        after_a_kill: the report of a passport whose worker was killed by SIGKILL; None: the
            application has not moved, so nobody was killed.
    """

    waiting: dict[str, str]
    ended: dict[str, str]
    reports: dict[str, Any]
    asked: dict[str, int]
    forgotten: bool
    after_a_kill: Any = None


@pytest.fixture(scope="module", params=[*BEFORE, *AFTER], ids=str)
def application(request: pytest.FixtureRequest) -> Application:
    chosen: Application = request.param
    return chosen


@pytest.fixture(scope="module")
def scene(
    application: Application,
    server: RedisServer,
    register: Register,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    register.asked.clear()
    register.busy.update({NUMBERS[BUSY]: 2, NUMBERS[DOWN]: 1_000})
    database = [before.peer for before in BEFORE].index(application.peer)  # both sides share it
    folder = tmp_path_factory.mktemp(str(application))
    stage = Stage(application, f"{server.address}/{database}", folder, register.url)
    with stage.running():
        return play(stage, register, kill=application in AFTER)


def play(stage: Stage, register: Register, *, kill: bool) -> Scene:
    for document, number in NUMBERS.items():
        dots = {"dots": BLURRED} if document == GREY else {}
        upload(stage.documents, document, line(number), **dots)
    upload(stage.documents, FAKE, FORGED, pages=5)
    old = stage.documents / upload(stage.documents, "old", line())
    os.utime(old, (0, 0))
    passports = (*NUMBERS, FAKE)

    service = stage.service()
    for passport in passports:
        service.submit(passport)
    waiting = {passport: service.status(passport) for passport in passports}
    processes = stage.start()

    def seen() -> dict[str, str] | None:
        found = {passport: service.status(passport) for passport in passports}
        return None if {"waiting", "working"} & set(found.values()) else found

    ended = stage.wait_for("all passports are checked", seen, processes)
    stage.wait_for("the old passport is forgotten", lambda: not old.exists(), processes)
    return Scene(
        waiting,
        ended,
        {passport: service.report(passport) for passport in passports},
        {passport: register.asked[number] for passport, number in NUMBERS.items()},
        not old.exists(),
        kill_a_worker(stage, service, processes[0]) if kill else None,
    )


def kill_a_worker(stage: Stage, service: Service, worker: Process) -> Any:
    """Kill the worker while a job reads a page, and start another one; return the report."""
    page = stage.documents / upload(stage.documents, STUCK, line("X1000000E")) / "page-1.pgm"
    page.unlink()
    os.mkfifo(page)  # the job that reads it is stuck until somebody writes
    service.submit(STUCK)
    with closing(os.fdopen(opened_by_a_reader(stage, page, worker), "wb")):
        worker.kill()
        page.unlink()
        page.write_bytes(image())
        others = stage.start()
        stage.wait_for("it is checked", lambda: service.status(STUCK) == "done", others)
    return service.report(STUCK)


def opened_by_a_reader(stage: Stage, pipe: Path, worker: Process) -> int:
    """Wait until a job reads from the pipe; return a descriptor for writing."""

    def opened() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads from it yet
                raise
            return None

    found: int = stage.wait_for("a job reads the page", opened, [worker])
    return found


def test_the_status_is_known_before_there_is_a_worker(scene: Scene) -> None:
    assert scene.waiting == dict.fromkeys((GOOD, GREY, BUSY, DOWN, FAKE), "waiting")


def test_the_status_tells_how_it_ended(scene: Scene) -> None:
    assert scene.ended == {GOOD: "done", GREY: "done", BUSY: "done", DOWN: "failed", FAKE: "done"}


def test_the_report_combines_what_all_checks_have_found(scene: Scene) -> None:
    fine = {"verdict": "accepted", "wrong_digits": [], "lost": False, "sharpness": [200.0] * 2}
    assert scene.reports == {
        GOOD: fine | {"document": GOOD},
        BUSY: fine | {"document": BUSY},
        GREY: fine | {"document": GREY, "verdict": "refused", "sharpness": [1.0] * 2},
        FAKE: {
            "document": FAKE,
            "verdict": "refused",
            "wrong_digits": ["number", "line"],
            "lost": False,
            "sharpness": [200.0] * 5,
        },
        DOWN: "CheckFailed",
    }


def test_a_check_that_fails_is_retried_three_times(scene: Scene) -> None:
    assert scene.asked == {GOOD: 1, GREY: 1, BUSY: 3, DOWN: 4}


def test_the_clock_has_old_passports_deleted(scene: Scene) -> None:
    assert scene.forgotten


@pytest.mark.parametrize("application", AFTER, ids=str, indirect=True)
def test_a_worker_that_is_killed_loses_nothing(scene: Scene) -> None:
    assert scene.after_a_kill == {
        "document": STUCK,
        "verdict": "accepted",
        "wrong_digits": [],
        "lost": False,
        "sharpness": [200.0] * 2,
    }
