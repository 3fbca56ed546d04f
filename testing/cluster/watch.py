"""Records when an object changes, by a watch that began before the cause of the change."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any


class DeploymentWatch:
    """A watch of a Deployment: `changes` are (time, replicas), one for each event.

    `generations` are the generations seen: the API server counts one up for each write that changes
    the specification, by any writer.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self._process = subprocess.Popen(
            [
                *("kubectl", "-n", namespace, "get", "deployment", name),
                *("--watch", "--output-watch-events", "-o", "json"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.changes: list[tuple[float, int]] = []
        self.generations: list[int] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait_for(lambda number: number is not None)

    def _read(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text += line
            try:
                event, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                continue
            text = text[end:].lstrip()
            self._note(event["object"])

    def _note(self, deployment: dict[str, Any]) -> None:
        with self._changed:
            self.changes.append((time.time(), deployment["spec"]["replicas"]))
            generation = deployment["metadata"]["generation"]
            if generation not in self.generations:
                self.generations.append(generation)
            self._changed.notify_all()

    def wait_for(
        self, wanted: Callable[[int], bool], seconds: float = 60, *, raised: bool = False
    ) -> float:
        """Return when the replicas were first as wanted; `raised`: after they left zero."""

        def found() -> list[float]:
            above = (i for i, (_, number) in enumerate(self.changes) if number > 0)
            begin = next(above, len(self.changes)) if raised else 0
            return [at for at, number in self.changes[begin:] if wanted(number)]

        with self._changed:
            assert self._changed.wait_for(found, seconds), self.changes
            return found()[0]

    @property
    def steps(self) -> list[int]:
        """The numbers of replicas in order, without repetitions."""
        numbers = [number for _, number in self.changes]
        return [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n]

    def close(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        if self._process.stdout:
            self._process.stdout.close()
