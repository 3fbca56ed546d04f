"""Programs in a real pseudo-terminal: what stands on its screen, and keys that are pressed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from typing import Any, Self

import pyte

from testing.waiting import eventually

MAIN_SCREEN = "\x1b[?1049l"
CURSOR = "\x1b[?25h"


class TerminalProgram:
    """A program in a terminal of its own, within an `async with` block.

    Args:
        command: the program and its arguments.
        environ: its environment.
        columns, rows: size of the terminal.

    Attributes:
        output: all that it has sent to the terminal.
    """

    def __init__(
        self, command: Sequence[str], environ: dict[str, str], *, columns: int = 80, rows: int = 24
    ) -> None:
        self.output = b""
        self._command, self._environ = command, environ
        self._size = columns, rows
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    async def __aenter__(self) -> Self:
        self._master, self._slave = pty.openpty()
        self._set_size()
        self.modes_before = self.modes
        self.process = self._start()
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    @property
    def modes(self) -> list[Any]:
        """The terminal's modes, such as echo."""
        return termios.tcgetattr(self._slave)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    def cell(self, row: int, column: int) -> pyte.screens.Char:
        """Return what stands in one place of the screen."""
        return self._screen.buffer[row][column]

    def line(self, word: str) -> str:
        """Return the first line that contains a word; empty: there is none."""
        return next((line for line in self.lines if word in line), "")

    def is_reverse(self, word: str) -> bool:
        """Return whether the first line that contains a word begins in reverse video."""
        number = self.lines.index(self.line(word))
        return bool(self._screen.buffer[number][0].reverse)

    async def shows(self, *words: str) -> None:
        """Wait until all these words are on the screen."""
        await eventually(
            lambda: all(word in self.text for word in words),
            lambda: f"the screen shows {words}:\n{self.text}",
        )

    async def hides(self, word: str) -> None:
        """Wait until a word is not on the screen."""
        await eventually(
            lambda: word not in self.text, lambda: f"it does not show {word}:\n{self.text}"
        )

    def press(self, keys: str) -> None:
        """Send keys, as characters and escape sequences."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal, which sends SIGWINCH."""
        self._size = columns, rows
        self._screen.resize(rows, columns)
        self._set_size()

    async def ended(self) -> int:
        """Wait for its end, and return its exit code; negative: the signal that killed it."""
        await eventually(lambda: self.process.poll() is not None, lambda: f"it ends:\n{self.text}")
        self._read()
        return self.process.returncode

    @property
    def is_given_back(self) -> bool:
        """Whether the terminal is as it was: its modes, its cursor, and its main screen."""
        return self.modes == self.modes_before and all(
            self.output.rfind(shown.encode()) > self.output.rfind(hidden.encode())
            for shown, hidden in ((MAIN_SCREEN, "\x1b[?1049h"), (CURSOR, "\x1b[?25l"))
        )

    def _set_size(self) -> None:
        columns, rows = self._size
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the program in a session whose terminal this is, so that Ctrl-C reaches it."""
        return subprocess.Popen(
            ["setsid", "--ctty", *self._command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=self._environ | {"TERM": "xterm-256color"},
        )

    def _read(self) -> None:
        os.set_blocking(self._master, False)
        try:
            while data := os.read(self._master, 65_536):
                self.output += data
                self._stream.feed(data)
        except (BlockingIOError, OSError):
            pass  # nothing more now
