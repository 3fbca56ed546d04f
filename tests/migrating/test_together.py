"""The old library and idenTTqueue side by side: in one environment, on one Redis database."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from examples.migrating.shared.samples import FORGED, Register, line, upload
from migrating.applications import BEFORE
from migrating.stage import EXAMPLES, ROOT, WORKER, Application, Stage
from migrating.test_snippets import BEFORE as MORE
from testing.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BOTH = Application(
    "arq",
    "during",
    ("arq old_jobs.WorkerSettings", WORKER),
    EXAMPLES / "arq/during/requirements.txt",
    uses_ours=True,
)
DATABASE = 14


@pytest.mark.parametrize("application", [*BEFORE, *MORE, BOTH], ids=str)
def test_both_fit_into_one_environment(application: Application) -> None:
    """Check that idenTTqueue accepts the packages that the old library has."""
    site = Path(application.python).parents[1].glob("lib/*/site-packages")
    installed = distributions(path=list(map(str, site)))
    has = {canonicalize_name(found.name): found.version for found in installed}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    shared = [requirement for requirement in needed if requirement.name in has]
    assert "redis" in {requirement.name for requirement in shared}
    assert [str(r) for r in shared if not r.specifier.contains(has[r.name])] == []


def test_both_run_beside_each_other_and_there_is_a_way_back(
    server: RedisServer, register: Register, tmp_path: Path
) -> None:
    stage = Stage(BOTH, f"{server.address}/{DATABASE}", tmp_path, register.url)
    moved = upload(stage.documents, "moved", FORGED)
    back = upload(stage.documents, "back", line())
    with stage.running(), server.client(db=DATABASE) as redis:
        stage.start()
        stage.service(MOVED_PERCENT="100").submit(moved)
        service = stage.service(MOVED_PERCENT="0")  # the way back
        service.submit(back)
        assert service.report(moved) == ["number", "line"]
        assert service.report(back) == []
        assert redis.exists("arq:result:back")
        assert not redis.exists("arq:result:moved")
