"""The small programs of the pages print the same before and after the move."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from examples.migrating.shared.samples import Register, line, upload
from migrating.stage import ROOT, Application, Stage, after
from testing.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PINNED = ROOT / "benchmarks" / "requirements"
BEFORE: Final = (
    Application("saq", "before", ("saq jobs.settings",), PINNED / "saq.txt"),
    Application(
        "dramatiq",
        "before",
        ("dramatiq jobs --processes 1 --threads 4", "-m forget"),
        PINNED / "dramatiq.txt",
    ),
    Application(
        "taskiq",
        "before",
        ("taskiq worker jobs:broker --workers 1", "taskiq scheduler jobs:scheduler"),
        PINNED / "taskiq.txt",
    ),
)
APPLICATIONS: Final = [side for before in BEFORE for side in (before, after(before.peer))]
NUMBER: Final = "X2000000A"


@pytest.mark.parametrize("application", APPLICATIONS, ids=str)
def test_both_sides_print_the_same(
    application: Application, server: RedisServer, register: Register, tmp_path: Path
) -> None:
    database = 11 + [before.peer for before in BEFORE].index(application.peer)
    stage = Stage(application, f"{server.address}/{database}", tmp_path, register.url)
    passport = upload(stage.documents, "passport", line(NUMBER))
    old = stage.documents / upload(stage.documents, "old", line())
    os.utime(old, (0, 0))
    register.asked[NUMBER], register.busy[NUMBER] = 0, 3
    with stage.running():
        processes = stage.start()
        stage.wait_for("the old passport is forgotten", lambda: not old.exists(), processes)
        printed = stage.run("client.py", passport)
    assert printed == "wrong digits: [], lost: False\n"
    assert register.asked[NUMBER] == 4
