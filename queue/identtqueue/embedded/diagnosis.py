"""Why an embedded server did not start, from the end of its log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from identtqueue.errors import EmbeddedServerFailed

LOG: Final = "valkey.log"
MOST_LOG_BYTES: Final = 1024 * 1024
"""When a server starts and the log is larger, it is set aside as `valkey.log.1`."""
_MOST_LINES: Final = 3
_LINE: Final = re.compile(r"^(?:\d+:\S+ \d+ \w+ \d+ [\d:.]+ ([*#.-]) )?(.*)$", re.MULTILINE)
"""A line of the log: a mark, of which # is a warning, and the message."""

_READY: Final = "Ready to accept connections"
"""Logged when the files are loaded. If the server has ended since, that was a crash."""
_NEWER: Final = re.compile("handle RDB format version|invalid version in RDB|RDB version")
_UNREADABLE: Final = re.compile(
    "Bad file format|Unexpected end of file|Internal error in RDB|Error reading the append|"
    "Error loading|manifest file|Unrecoverable error|Short read"
)
_NO_SPACE: Final = re.compile("No space left|Disk quota exceeded")


def find_reason(folder: Path, since: int) -> EmbeddedServerFailed | None:
    """Return why the server could not use the files in its folder; None if the log says nothing.

    Args:
        folder: the server's folder.
        since: position in the log at which the server was started.
    """
    text = read_log(folder, since)
    if _READY in text:
        return None
    if _NEWER.search(text):
        return EmbeddedServerFailed(
            f"the files in {folder} were written by a newer server than the installed one: pip "
            "install --upgrade 'identtqueue[embedded]', or name another folder"
        )
    if _NO_SPACE.search(text):
        return EmbeddedServerFailed(f"no space is left on the disk of {folder}")
    if _UNREADABLE.search(text):
        return EmbeddedServerFailed(
            f"the files in {folder} can't be read by the embedded server. Name another folder, or "
            f"repair them with valkey-check-aof. Its log ends with: {_last_lines(text)}"
        )
    return None


def describe_failure(folder: Path, since: int) -> EmbeddedServerFailed:
    """Make the error for a server that has ended before it answered.

    Args:
        folder: the server's folder.
        since: position in the log at which the server was started.
    """
    text = read_log(folder, since)
    return find_reason(folder, since) or EmbeddedServerFailed(
        f"the embedded server in {folder} did not start. Its log {LOG} "
        + (f"ends with: {_last_lines(text)}" if text.strip() else "is empty")
    )


def prepare_log(folder: Path) -> int:
    """Set a large log aside, and return the position at which the next server begins to write.

    Raises:
        EmbeddedServerFailed: the folder can't be written.
    """
    log = folder / LOG
    try:
        size = log.stat().st_size if log.exists() else 0
        if size > MOST_LOG_BYTES:
            log.replace(folder / f"{LOG}.1")
            return 0
    except OSError as error:
        raise EmbeddedServerFailed(
            f"{folder} can't be used for the embedded server: {error.strerror}"
        ) from None
    return size


def read_log(folder: Path, since: int) -> str:
    """Return the end of what the server has logged from a position on."""
    try:
        with (folder / LOG).open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(since, end - MOST_LOG_BYTES))
            return log.read().decode(errors="replace")
    except OSError:
        return ""


def _last_lines(text: str) -> str:
    """Return the last warnings, or the last lines if there is none, without process id and time."""
    lines = [(mark, line.strip()) for mark, line in _LINE.findall(text) if line.strip()]
    warnings = [line for mark, line in lines if mark == "#"]
    return " / ".join((warnings or [line for _, line in lines])[-_MOST_LINES:])
