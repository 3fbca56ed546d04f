"""This machine as the place where the demonstration plays: processes, and the embedded server."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from identtqueue import RedisSettings
from narrator.commands import lines_of, run
from narrator.narrate import Narrator
from narrator.world import HERE, ROOT, TASK_QUEUE, CommandFailed, Json, PodSeen, Redis

FOLDER = ROOT / "build" / "demo"
POLL_SECONDS = 0.05
"""How often the objects are looked at, which is also how late their times may be."""
COMMAND = (sys.executable, "-m", "identtqueue", "local")


class LocalWorld:
    """`identtqueue local` on this machine, with all its files in one folder.

    Args:
        pages: how many pages the producer has to read.
    """

    deployment = TASK_QUEUE  # the operator makes it, of the TaskQueue's template
    kubelet = "identtqueue local"

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._log = FOLDER / "local.log"
        self._operator: asyncio.subprocess.Process | None = None

    async def set_up(self, tell: Narrator) -> None:
        """Start `identtqueue local` in a fresh folder."""
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        # The embedded server of this process and of all that it starts is below this folder.
        os.environ["XDG_STATE_HOME"] = str(FOLDER / "state")
        os.environ["IDENTTQUEUE_REDIS_ADDRESS"] = "embedded"
        os.environ["IDENTTQUEUE_LOCAL_STATE"] = str(FOLDER / "local")
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(HERE), os.environ.get("PYTHONPATH")])
        )
        tell.say("identtqueue local -f taskqueue.yaml: the operator, on this machine")
        with self._log.open("wb") as log:
            self._operator = await asyncio.create_subprocess_exec(
                *(*COMMAND, "-f", str(HERE / "local" / "taskqueue.yaml")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is handled here
            )
        await self._wait_until("the TaskQueue to be ready", self._is_ready, 30)
        tell.say("it has started a private Valkey server, and no worker yet")

    async def _is_ready(self) -> bool:
        found = await self._list("taskqueues")
        conditions = [c for body in found for c in body.get("status", {}).get("conditions", ())]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Redis]:
        """Name the embedded server. It has this machine's clock."""
        yield Redis(RedisSettings(address="embedded"), 0.0)

    async def changes(self, kind: str) -> AsyncIterator[Json]:
        """Iterate over all objects of a kind, then over each that has changed, without an end."""
        seen: dict[str, str] = {}
        while True:
            for body in await self._list(kind):
                uid, version = body["metadata"]["uid"], body["metadata"]["resourceVersion"]
                if seen.get(uid) != version:
                    seen[uid] = version
                    yield body
            await asyncio.sleep(POLL_SECONDS)

    async def start_producer(self, tell: Narrator) -> None:
        """Do nothing: its lines are read from its start on."""
        tell.say("python -m document_ocr.producer: scan pages, enqueue them, await their text")

    def producer_lines(self) -> AsyncIterator[str]:
        """Start the application, and iterate over the lines that it prints."""
        os.environ["PAGES"] = str(self.pages)
        return lines_of(sys.executable, "-m", "document_ocr.producer")

    async def show_queue(self, tell: Narrator) -> None:
        """Show the output of `identtqueue local get`."""
        tell.show("identtqueue local get", await run(*COMMAND, "get"))

    async def kill(self, pod: PodSeen) -> tuple[str, float]:
        """Find the pod's process by its environment, and kill it: the leader of its group."""
        table = await run("ps", "axeww", "-o", "pid=,pgid=,command=")
        for line in table.splitlines():
            pid, group = line.split()[:2]
            if pid == group and re.search(rf"\bIDENTTQUEUE_POD_UID={pod.uid}\b", line):
                os.kill(int(pid), signal.SIGKILL)
                return pid, time.time()
        raise CommandFailed(f"no process of pod {pod.name} was found")

    async def wait_until_workers_are_gone(self) -> None:
        """Wait until no pod is left."""

        async def none_is_left() -> bool:
            return not await self._list("pods")

        await self._wait_until("the last worker to end", none_is_left, 60)

    async def show_everything(self, tell: Narrator) -> None:
        """Show what one looks at first when something has gone wrong."""
        try:
            tell.show("identtqueue local describe", await run(*COMMAND, "describe"))
        except CommandFailed as error:
            tell.say(str(error))
        if self._log.exists():
            lines = self._log.read_text(errors="replace").splitlines()
            tell.show(f"tail {self._log.relative_to(ROOT)}", "\n".join(lines[-80:]))

    async def clean_up(self, tell: Narrator, *, keep: bool) -> None:
        """End `identtqueue local`. The server ends with its last user, which is this process."""
        if keep:
            tell.say(f"kept: IDENTTQUEUE_LOCAL_STATE={FOLDER / 'local'} identtqueue local get")
        elif self._operator is not None and self._operator.returncode is None:
            self._operator.terminate()
            await asyncio.wait_for(self._operator.wait(), 60)
            tell.say("identtqueue local has ended; the Valkey server ends with this program")

    async def _list(self, kind: str) -> list[Json]:
        """Ask `identtqueue local` for all objects of a kind."""
        reader, writer = await asyncio.open_unix_connection(_short(FOLDER / "local/control.sock"))
        try:
            writer.write(json.dumps({"verb": "list", "plural": kind}).encode() + b"\n")
            answer: Json = json.loads(await reader.read())
        finally:
            writer.close()
        items: list[Json] = answer["items"]
        return items

    async def _wait_until(
        self, what: str, probe: Callable[[], Awaitable[bool]], seconds: float
    ) -> None:
        """Wait until the probe returns True.

        Raises:
            CommandFailed: it did not in time, or `identtqueue local` has ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._operator is not None and self._operator.returncode is not None:
                raise CommandFailed(f"identtqueue local: exit code {self._operator.returncode}")
            with contextlib.suppress(OSError):  # it does not answer yet
                if await probe():
                    return
            await asyncio.sleep(POLL_SECONDS)
        raise CommandFailed(f"waited {seconds:.0f} s for {what}")


def _short(path: Path) -> str:
    """Make a path relative, because that of a socket has at most about a hundred bytes."""
    return os.path.relpath(path)
