"""The loop of the live screen: it waits for keys, for news from Redis, and for nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from identtqueue.admin import Admin
from identtqueue.cli.display.terminal import console
from identtqueue.cli.display.times import duration
from identtqueue.cli.top.canvas import Canvas
from identtqueue.cli.top.reading import TopReader
from identtqueue.cli.top.screen import Scene, draw
from identtqueue.cli.top.snapshot import TopSnapshot
from identtqueue.cli.top.terminal import Terminal
from identtqueue.cli.top.view import TopView, Wish
from identtqueue.errors import IdenttqueueError

STYLE_NAMES: Final = {"bar": "reverse", "chosen": "reverse", "sorted": "bold underline"}
"""Styles of the screen, beyond those of all commands."""


class LiveScreen:
    """The live screen.

    Args:
        admin: pauses and resumes queues.
        reader: reads what is shown.
        view: what is chosen at the beginning.
        address: where Redis is, without credentials.
    """

    def __init__(self, admin: Admin, reader: TopReader, view: TopView, address: str) -> None:
        self._admin, self._reader, self._view, self._address = admin, reader, view, address
        self._snapshot: TopSnapshot | None = None
        self._trouble, self._trouble_at = "", 0.0
        self._changed, self._hurry = asyncio.Event(), asyncio.Event()
        self._canvas = _canvas()
        self._acting: set[asyncio.Task[None]] = set()
        self._ended_by: int | None = None  # 0: the user has quit

    async def show(self) -> int:
        """Show the screen until the user quits or a signal ends it.

        Returns:
            The number of the signal; 0: the user has quit.
        """
        with (
            _logs_on_screen(self._say),
            Terminal(on_key=self._press, on_change=self._redraw, on_end=self._end) as terminal,
        ):
            refreshing = asyncio.create_task(self._refresh())
            try:
                while self._ended_by is None:
                    self._changed.clear()
                    terminal.send(self._difference(*terminal.size))
                    await self._wait_for_change(refreshing)
            finally:
                for task in (refreshing, *self._acting):
                    task.cancel()
                await asyncio.gather(refreshing, *self._acting, return_exceptions=True)
        return self._ended_by

    async def _wait_for_change(self, refreshing: asyncio.Task[None]) -> None:
        waiting = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({waiting, refreshing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if refreshing.done():
            refreshing.result()  # it only ends by an error

    def _difference(self, columns: int, rows: int) -> str:
        trouble = self._trouble
        if trouble:
            since_ms = (time.monotonic() - self._trouble_at) * 1000
            trouble = f"nothing new for {duration(since_ms)}, trying again: {trouble}"
        scene = Scene(self._view, self._snapshot, self._address, trouble)
        return self._canvas.change(draw(scene, columns, rows), columns, rows)

    async def _refresh(self) -> None:
        """Read from Redis now and then, for ever."""
        while True:
            self._hurry.clear()
            try:
                self._snapshot = await self._reader.read(self._view.opened)
                self._trouble = ""
            except IdenttqueueError as error:
                if not self._trouble:
                    self._trouble_at = time.monotonic()
                self._trouble = str(error)
            self._changed.set()
            try:
                async with asyncio.timeout(self._view.interval_seconds):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    # --- called by the terminal ---

    def _press(self, key: str) -> None:
        if self._snapshot is None:
            if key == "q":
                self._end(0)
            return
        match self._view.press(key, self._snapshot):
            case Wish.QUIT:
                self._end(0)
            case Wish.REFRESH:
                self._hurry.set()
            case Wish.PAUSE:
                task = asyncio.create_task(self._pause_or_resume(self._snapshot))
                self._acting.add(task)
                task.add_done_callback(self._acting.discard)
        self._changed.set()

    def _redraw(self) -> None:
        self._canvas.forget()
        self._changed.set()

    def _end(self, number: int) -> None:
        self._ended_by = number
        self._changed.set()

    def _say(self, text: str) -> None:
        self._view.said = text
        self._changed.set()

    async def _pause_or_resume(self, snapshot: TopSnapshot) -> None:
        line = self._view.queue(snapshot)
        if line is None:
            return
        act = self._admin.resume if line.depth.paused else self._admin.pause
        try:
            changed = await act(line.name)
        except IdenttqueueError as error:
            self._say(str(error))
            return
        done = "resumed" if line.depth.paused else "paused"
        self._say(f"{line.name} {done if changed else f'was {done} already'}")
        self._hurry.set()


def _canvas() -> Canvas:
    drawing = console()
    names = ("good", "bad", "warn", "info", "quiet", "name", "heading", *STYLE_NAMES)
    styles = {name: drawing.get_style(STYLE_NAMES.get(name, name)) for name in names}
    return Canvas(styles, coloured=drawing.color_system is not None and not drawing.no_color)


@contextmanager
def _logs_on_screen(say: Callable[[str], None]) -> Iterator[None]:
    """Show warnings of this library in the screen instead of across it.

    Args:
        say: shows one of them.
    """

    class OnScreen(logging.Handler):
        """A handler that shows the message of a record."""

        def emit(self, record: logging.LogRecord) -> None:
            """Show it."""
            say(record.getMessage())

    log, handler = logging.getLogger("identtqueue"), OnScreen(logging.WARNING)
    before = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
