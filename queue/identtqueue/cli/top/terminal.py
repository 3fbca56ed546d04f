"""The terminal: taken over while the screen is shown, and given back as it was, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from identtqueue.cli.top.keys import ESCAPE_SECONDS, Keys

_TAKE: Final = "\x1b[?1049h\x1b[?25l"
"""The alternate screen, so that what stood there comes back; and no cursor."""
_GIVE_BACK: Final = "\x1b[0m\x1b[?25h\x1b[?1049l"

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """The terminal of this process, as a context manager.

    Args:
        on_key: called with each key.
        on_change: called when the size has changed, or when something else may stand there.
        on_end: called with the number of the signal that asks the process to end.

    Attributes:
        sent_bytes: how much was sent to the terminal.
    """

    def __init__(
        self,
        *,
        on_key: Callable[[str], None],
        on_change: Callable[[], None],
        on_end: Callable[[int], None],
    ) -> None:
        self.sent_bytes = 0
        self._on_key, self._on_change, self._on_end = on_key, on_change, on_end
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._loop = asyncio.get_running_loop()
        self._saved: list[Any] | None = None
        self._keys = Keys()
        self._escape: asyncio.TimerHandle | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            size = os.get_terminal_size(self._output)
        except OSError:  # it has gone
            return 80, 24
        return size.columns, size.lines

    def __enter__(self) -> Terminal:
        self._take()
        self._loop.add_reader(self._input, self._read)
        self._loop.add_signal_handler(signal.SIGWINCH, self._on_change)
        self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        for number in ENDING:
            self._loop.add_signal_handler(number, self._on_end, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.remove_reader(self._input)
        for number in (signal.SIGWINCH, signal.SIGTSTP, *ENDING):
            self._loop.remove_signal_handler(number)
        if self._escape is not None:
            self._escape.cancel()
        self._give_back()

    def send(self, text: str) -> None:
        """Send text, and wait until the terminal has taken it.

        Over a slow link this takes its time. Meanwhile nothing is read from Redis either.
        """
        data = text.encode()
        self.sent_bytes += len(data)
        while data:
            data = data[os.write(self._output, data) :]

    def _take(self) -> None:
        self._saved = termios.tcgetattr(self._input)
        # Keys arrive at once and are not echoed. Ctrl-C and Ctrl-Z still send their signals.
        tty.setcbreak(self._input)
        self.send(_TAKE)

    def _give_back(self) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        with suppress(OSError, termios.error):  # the terminal may be gone
            self.send(_GIVE_BACK)
            termios.tcsetattr(self._input, termios.TCSADRAIN, saved)

    def _suspend(self) -> None:
        """Stop the process, as Ctrl-Z does, with the terminal given back until it goes on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._on_change()

    def _read(self) -> None:
        try:
            data = os.read(self._input, 1024)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._loop.remove_reader(self._input)
            self._on_end(signal.SIGHUP)
            return
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
        for key in self._keys.feed(data):
            self._on_key(key)
        if self._keys.unfinished:
            self._escape = self._loop.call_later(ESCAPE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for key in self._keys.give_up():
            self._on_key(key)
