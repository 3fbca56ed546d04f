"""The output of workers, on standard output, each line with the name of its pod.

A thread writes it. So a terminal that is stopped, or a pipe that nobody reads, holds up neither the
operator nor the workers: lines that find no room are dropped, and counted.
"""

import json
import queue
import threading
from datetime import UTC, datetime
from typing import TextIO

from identtqueue.logs import LogFormat, clean

MOST_WAITING = 10_000
"""Lines that wait to be written; those beyond are dropped."""
CLOSE_SECONDS = 1.0
"""How long the last lines may take at the end."""


class Output:
    """The output of all pods.

    Args:
        stream: where it goes.
        style: the form of the lines.
    """

    def __init__(self, stream: TextIO, style: LogFormat) -> None:
        self._stream = stream
        self._form = {"text": _text, "json": _json, "logfmt": _logfmt}[style]
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def say(self, pod: str, line: str) -> None:
        """Write a line of a pod, later."""
        try:
            self._lines.put_nowait(self._form(pod, line))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what is left, but not for long."""
        try:
            self._lines.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _write(self) -> None:
        """Write until closed. When nobody reads any more, lines are thrown away."""
        is_open = True
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line = f"{self._form('-', f'{dropped} lines were dropped: nobody reads')}\n{line}"
            try:
                if is_open:
                    self._stream.write(line + "\n")
                    if self._lines.empty():
                        self._stream.flush()
            except (OSError, ValueError):
                is_open = False


def _text(pod: str, line: str) -> str:
    return f"[{pod}] {clean(line)}"


def _json(pod: str, line: str) -> str:
    """Add the pod to a line that is JSON, as a worker may log; make JSON of any other line."""
    try:
        row = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = {"time": at, "logger": "output", "message": clean(line)}
    text = json.dumps({"pod": pod, **row}, ensure_ascii=False)
    return text if text.isprintable() else json.dumps({"pod": pod, **row})


def _logfmt(pod: str, line: str) -> str:
    if line.startswith("time="):
        return f"pod={pod} {clean(line)}"
    return f"pod={pod} logger=output message={json.dumps(clean(line), ensure_ascii=False)}"
