"""A stage for the example applications: their processes, in their own environments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from testing.environments import prepare
from testing.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "examples" / "migrating"
SHARED: Final = EXAMPLES / "shared"
DRIVER: Final = Path(__file__).with_name("driver.py")
PATIENCE_SECONDS: Final = 60
WORKER: Final = "-m identtqueue worker jobs --concurrency 1 --lease-seconds 5"
"""The command of a moved application's worker."""


@dataclass(frozen=True)
class Application:
    """An application of `examples/migrating`.

    Attributes:
        peer: the library that it moves away from.
        side: "before", "during" or "after" the move.
        programs: the command of each of its processes, behind the environment's `bin/`.
        requirements: hashed requirements of its environment; None: that of the tests.
        uses_ours: whether it imports idenTTqueue.
    """

    peer: str
    side: str
    programs: tuple[str, ...]
    requirements: Path | None = None
    uses_ours: bool = False

    def __str__(self) -> str:
        return f"{self.peer}-{self.side}"

    @property
    def folder(self) -> Path:
        """Where its modules are."""
        return EXAMPLES / self.peer / self.side

    @property
    def python(self) -> str:
        """The Python of its environment, which is made when it is first asked for."""
        if self.requirements is None:
            return sys.executable
        return prepare(ROOT / "build" / "peers" / self.peer, sys.executable, self.requirements)

    def environment(self, redis_url: str, **more: str) -> dict[str, str]:
        """Make the environment variables of its processes."""
        path = [SHARED, *((ROOT / "queue",) if self.uses_ours else ())]
        return {
            "PATH": os.pathsep.join([str(Path(self.python).parent), os.defpath]),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "REDIS_URL": redis_url,
            "IDENTTQUEUE_REDIS_ADDRESS": redis_url,
            **more,
        }


def after(peer: str) -> Application:
    """Describe an application after its move."""
    return Application(peer, "after", (WORKER,), uses_ours=True)


class Process:
    """A process of an application, with a log.

    Args:
        words: its command line.
        folder: where it starts.
        environment: all its variables.
        log: file for what it prints.
    """

    def __init__(
        self, words: list[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                words, cwd=folder, env=environment, stdout=output, stderr=output, process_group=0
            )

    def kill(self) -> None:
        """Send SIGKILL to the process itself, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Send SIGTERM, and kill it with all its children if it does not end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """Return its output."""
        return self._log.read_text(errors="replace")


class Service:
    """The service of an application, in a process of its own that answers questions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def submit(self, document: str) -> None:
        self._call("submit", document)

    def status(self, document: str) -> str:
        return str(self._call("status", document))

    def report(self, document: str) -> Any:
        """Return the report, or the name of the error that the service raised."""
        return self._call("report", document, PATIENCE_SECONDS)

    def _call(self, name: str, *args: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *args]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Stage:
    """One application on the stage.

    Args:
        application: which.
        redis_url: a database of its own.
        folder: for documents and logs.
        register_url: the register of lost passports.
    """

    def __init__(
        self, application: Application, redis_url: str, folder: Path, register_url: str
    ) -> None:
        self._application = application
        self._redis_url = redis_url
        self._folder = folder
        self.documents = folder / "documents"
        self.documents.mkdir(parents=True)
        self._environment = application.environment(
            redis_url, DOCUMENTS_FOLDER=str(self.documents), REGISTER_URL=register_url
        )
        self._end = ExitStack()

    @contextmanager
    def running(self) -> Iterator[Stage]:
        """End all processes when the block ends."""
        with self._end:
            yield self

    def service(self, **environment: str) -> Service:
        """Start the service, with additional environment variables."""
        process = subprocess.Popen(
            [self._application.python, str(DRIVER)],
            cwd=self._application.folder,
            env=self._environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._end.enter_context(process)
        self._end.callback(process.kill)
        return Service(process)

    def start(self) -> list[Process]:
        """Start all processes of the application: workers, and the clock where it is one."""
        bin_folder = Path(self._application.python).parent
        started = []
        for n, program in enumerate(self._application.programs):
            words = program.format(folder=self._folder, redis=self._redis_url).split()
            if words[0] == "-m":
                words.insert(0, "python")
            words[0] = str(bin_folder / words[0])
            process = Process(
                words, self._application.folder, self._environment, self._folder / f"log-{n}"
            )
            self._end.callback(process.end)
            started.append(process)
        return started

    def run(self, program: str, *args: str) -> str:
        """Run a program of the application to its end; return what it has printed."""
        return subprocess.run(
            [self._application.python, program, *args],
            cwd=self._application.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        ).stdout

    def wait_for(self, what: str, condition: Any, processes: list[Process]) -> Any:
        """Wait for a condition; an error shows the logs."""
        try:
            return wait_until(what, condition, PATIENCE_SECONDS)
        except AssertionError as error:
            for process in processes:
                error.add_note(process.log[-5000:])
            raise
