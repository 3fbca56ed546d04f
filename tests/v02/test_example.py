"""`examples/migrating/v02`: each pair of client and worker, as processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import redis

from identtqueue.v02 import wire
from testing.compat import old_release
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS, eventually

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "migrating" / "v02"
PATHS = ("a.jpg", "blank.jpg", "endless.jpg", "b.jpg")
PRINTED = """\
a.jpg read by a model
blank.jpg failed: the page is blank
endless.jpg took too long
b.jpg read by a model
"""

OLD_PYTHON = old_release.interpreter()
"""A Python that 0.2.2 itself runs on. Without one, the pairs that need it do not exist."""
ONLY_WITH_OLD = (
    [("old", "", "old"), ("old", "to new", "new"), ("new", "to old", "old")] if OLD_PYTHON else []
)
PAIRS = [*ONLY_WITH_OLD, ("new", "", "new"), ("v02", "", "v02")]


def code(release: str, program: str) -> str:
    """Return the code of the client or the worker, as that release runs it."""
    text = (EXAMPLE / ("after" if release == "new" else "before") / f"{program}.py").read_text()
    return text.replace("from identtqueue.", "from identtqueue.v02.") if release == "v02" else text


class Programs:
    """The processes of one test, with its Redis and its queue."""

    def __init__(self, address: str, queue: str, folder: Path) -> None:
        self._folder = folder
        self._environment = environment(address, REDIS_ADDRESS=address, QUEUE=queue)
        self._environment["PYTHONWARNINGS"] = "error,ignore:identtqueue.v02:DeprecationWarning"
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, release: str, program: str, *words: str) -> asyncio.subprocess.Process:
        file = self._folder / f"{release}-{program}.py"
        file.write_text(code(release, program))
        if release != "old":
            return await self.run(sys.executable, str(file), *words)
        python = await asyncio.to_thread(old_release.prepare, OLD_PYTHON)
        return await self.run(python, str(file), *words, own_packages=True)

    async def run(self, *command: str, own_packages: bool = False) -> asyncio.subprocess.Process:
        left_out = {"PYTHONPATH", "PYTHONWARNINGS"} if own_packages else set()
        with (self._folder / f"{len(self._running)}.log").open("wb") as log:
            started = await asyncio.create_subprocess_exec(
                *command,
                env={k: v for k, v in self._environment.items() if k not in left_out},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self._running.append(started)
        return started

    async def close(self) -> None:
        for each in self._running:
            if each.returncode is None:
                each.kill()
            await each.communicate()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("*.log")))


@pytest.mark.slow
@pytest.mark.parametrize(("client", "bridge", "worker"), PAIRS, ids=lambda each: each or "direct")
async def test_a_pair_reads_documents(
    redis_server: RedisServer, queue: str, tmp_path: Path, client: str, bridge: str, worker: str
) -> None:
    programs = Programs(redis_server.address, queue, tmp_path)
    try:
        await programs.start(worker, "worker")
        if bridge:
            words = ["--to-old"] if bridge == "to old" else []
            await programs.run(sys.executable, "-m", "identtqueue", "bridge", *words, queue)
        calling = await programs.start(client, "client", *PATHS)
        async with asyncio.timeout(LONG_SECONDS):
            out, _ = await calling.communicate()
        # 0.2 logs to standard output.
        lines = [line for line in out.decode().splitlines(True) if line.startswith(PATHS)]
        assert "".join(lines) == PRINTED, programs.logs()
        assert calling.returncode == 0
    finally:
        await programs.close()


if OLD_PYTHON:

    @pytest.mark.slow
    async def test_a_task_survives_the_old_worker_that_ran_it(
        redis_server: RedisServer, queue: str, tmp_path: Path, raw: redis.Redis
    ) -> None:
        """0.2 itself would have lost it: its client would wait in vain."""
        programs = Programs(redis_server.address, queue, tmp_path)
        try:
            first = await programs.start("old", "worker")
            words = ("--to-old", "--answer-seconds", "3", queue)
            await programs.run(sys.executable, "-m", "identtqueue", "bridge", *words)
            calling = await programs.start("new", "client", "endless.jpg")
            await eventually(lambda: begun(raw, queue), programs.logs)
            first.kill()
            await programs.start("old", "worker")
            async with asyncio.timeout(LONG_SECONDS):
                out, _ = await calling.communicate()
            assert out.decode() == "endless.jpg took too long\n", programs.logs()
        finally:
            await programs.close()


def begun(raw: redis.Redis, queue: str) -> bool:
    """Return whether a worker of 0.2 has begun the only task of a queue."""
    keys = raw.keys(f"idtq:{{{queue}}}:v02:sent:*")
    data = [raw.get(f"{key.decode().rpartition(':')[2]}-status") for key in keys]
    return any(each and wire.decode_status(each).data for each in data)


def test_the_pairs_with_the_old_release_are_there_if_its_python_is() -> None:
    """A machine without that Python lacks these tests; none is skipped."""
    assert bool(ONLY_WITH_OLD) == (OLD_PYTHON is not None)
    assert OLD_PYTHON is None or os.access(OLD_PYTHON, os.X_OK)
