"""The commands of examples/local, as its README has them, on an embedded server."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from testing.processes import ROOT
from testing.waiting import eventually

EXAMPLE = ROOT / "examples/local"
DONE_BY_THE_TEST = ("cd ", "python3 -m venv", "pip install", "export ")
"""Lines of the README in whose place the test makes the environment."""


def blocks() -> list[list[str]]:
    """Return the commands of the README's blocks."""
    found = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    return [
        [line for line in block.splitlines() if not line.startswith(DONE_BY_THE_TEST)]
        for block in found
    ]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Make the environment that an installation of this source tree has, with a home of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = tmp_path / f"site/identtqueue-{project['version']}.dist-info"
    about.mkdir(parents=True)
    head = "Metadata-Version: 2.1\nName: identtqueue\n"
    (about / "METADATA").write_text(f"{head}Version: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        if group == "identtqueue.commands"
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    folders = [str(about.parent), str(ROOT / "queue"), str(ROOT / "operator")]
    base = {name: value for name, value in os.environ.items() if "IDENTTQUEUE" not in name}
    return base | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(folders),
        "XDG_STATE_HOME": str(tmp_path / "home"),
        "IDENTTQUEUE_REDIS_ADDRESS": "embedded",
    }


@pytest.mark.slow
async def test_the_commands_of_the_readme(environ: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "local"))
    (start,), others = blocks()
    log = tmp_path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            shlex.split(start), cwd=folder, env=environ, stdout=out, stderr=out
        )
    try:
        await eventually(lambda: "running; " in log.read_text(), log.read_text)
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-ec", "\n".join([*others, "wait"])],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        results = re.findall(r"^task (\d): 6 words, in attempt 1$", done.stdout, re.MULTILINE)
        assert results == list("123456")
        assert re.search(r"^documents +documents +\d", done.stdout, re.MULTILINE), done.stdout
        assert "Kind:         TaskQueue" in done.stdout
        await eventually(lambda: "ScaledToZero" in log.read_text(), log.read_text)
    finally:
        running.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(running.wait, 60)
    assert code == 0, log.read_text()


@pytest.mark.slow
def test_a_contributed_command_is_listed_and_one_without_its_extra_says_so(
    environ: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "identtqueue"]
    listed = subprocess.run(
        [*command, "--help"], env=environ, capture_output=True, text=True, check=True
    )
    assert "local " in listed.stdout
    (tmp_path / "site/pydantic.py").write_text("raise ModuleNotFoundError(name='pydantic')")
    refused = subprocess.run(
        [*command, "local", "-f", "none.yaml"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        "Error: identtqueue local needs the package pydantic: pip install 'identtqueue[local]'\n"
    )
