"""The applications' own suites pass, before the move and after it."""

from __future__ import annotations

import subprocess

import pytest

from migrating.applications import AFTER, BEFORE
from migrating.stage import EXAMPLES, Application
from testing.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LAST_DATABASE = 15


@pytest.mark.parametrize("application", [*BEFORE, *AFTER], ids=str)
def test_its_own_suite_passes(application: Application, server: RedisServer) -> None:
    options = ["-q", "-p", "no:cacheprovider"]
    environment = application.environment(f"{server.address}/{LAST_DATABASE}")
    if application in AFTER:  # leave out the many plugins that these tests here use
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options += ["-p", "pytest_asyncio.plugin", "-p", "identtqueue.testing.plugin"]
    done = subprocess.run(
        [application.python, "-m", "pytest", *options, application.folder],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
