"""The handler of the default log: which lines may wait for each other, and that none is lost."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from identtqueue import logs
from identtqueue.log_stream import MOST_AT_ONCE, LineStream

LOGGER = logging.getLogger("identtqueue.worker")
TIME = len("2026-11-30 00:00:00,000")


class Writes(io.StringIO):
    """A stream that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


@contextmanager
def default_log() -> Iterator[Writes]:
    """Provide what the default log writes, in a program without another handler.

    A fixture would not do: pytest adds its own handlers after the fixtures.
    """
    root, stream = logging.root, Writes()
    handlers, level, error = root.handlers[:], root.level, sys.stderr
    root.handlers[:], sys.stderr = [], stream
    logs.set_up("INFO")
    try:
        yield stream
    finally:
        sys.stderr = error
        root.handlers[:] = handlers
        root.setLevel(level)


def default() -> LineStream:
    found = logs.only_stream(LOGGER, logging.INFO)
    assert found is not None
    return found


def test_a_line_looks_as_its_record_would() -> None:
    with default_log() as written:
        formatter = logs.default_formatter(default())
        assert formatter is not None
        for message in ("42 attempt 1 succeeded", "two\nlines\x1b", "x" * 20_000):
            line = formatter.line("INFO", LOGGER.name, message)
            LOGGER.info("%s", message)
            assert written.pieces[-1][TIME:] == line[TIME:]


def test_lines_wait_and_stay_in_order() -> None:
    with default_log() as written:
        assert [default().put(f"{n}\n") for n in range(3)] == [True, False, False]
        assert written.getvalue() == ""
        LOGGER.info("a record")
        assert [line[-8:] for line in written.getvalue().splitlines()] == [
            "0",
            "1",
            "2",
            "a record",
        ]
        assert default().put("3\n"), "the next one needs a flush again"
        logging.root.handlers[0].flush()
        assert written.getvalue().endswith("a record\n3\n")


def test_a_write_is_no_longer_than_a_pipe_takes_in_one_piece() -> None:
    with default_log() as written:
        lines = [f"{n:04d} {'ü' * (n % 300)}\n" for n in range(400)]
        for line in lines:
            default().put(line)
        default().flush()
        assert written.getvalue() == "".join(lines)
        assert 10 < len(written.pieces) < 100
        assert max(len(piece.encode()) for piece in written.pieces) <= MOST_AT_ONCE


def test_another_thread_that_writes_is_not_waited_for() -> None:
    with default_log():
        stream, done = default(), threading.Event()
        stream.put("waits\n")
        assert stream.lock is not None
        with stream.lock:
            thread = threading.Thread(target=lambda: (logs.write_waiting(), done.set()))
            thread.start()
            assert done.wait(30)
        thread.join()


def test_a_fork_does_not_write_the_lines_twice() -> None:
    with default_log() as written:
        default().put("once\n")
        child = os.fork()
        if child == 0:
            try:
                default().flush()
                os._exit(int(written.getvalue() != "once\n"))
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert written.getvalue() == "once\n"


def _another_handler(_undo: pytest.MonkeyPatch) -> None:
    logging.root.addHandler(logging.NullHandler())


def _a_handler_of_the_logger(undo: pytest.MonkeyPatch) -> None:
    undo.setattr(LOGGER, "handlers", [logging.NullHandler()])


def _a_filter_of_the_logger(undo: pytest.MonkeyPatch) -> None:
    undo.setattr(LOGGER, "filters", [lambda _record: True])


def _a_filter_of_the_handler(_undo: pytest.MonkeyPatch) -> None:
    logging.root.handlers[0].addFilter(logs.AttemptFields())


def _a_level_of_the_handler(_undo: pytest.MonkeyPatch) -> None:
    logging.root.handlers[0].setLevel("WARNING")


def _no_propagation(undo: pytest.MonkeyPatch) -> None:
    undo.setattr(logging.getLogger("identtqueue"), "propagate", False)


def _a_record_factory(undo: pytest.MonkeyPatch) -> None:
    undo.setattr(logging, "_logRecordFactory", logging.makeLogRecord)


def _a_tool_that_listens(undo: pytest.MonkeyPatch) -> None:
    before = logging.Logger.callHandlers

    def listening(self: logging.Logger, record: logging.LogRecord) -> None:  # as Sentry does
        before(self, record)

    undo.setattr(logging.Logger, "callHandlers", listening)


@pytest.mark.parametrize(
    "change",
    [
        _another_handler,
        _a_handler_of_the_logger,
        _a_filter_of_the_logger,
        _a_filter_of_the_handler,
        _a_level_of_the_handler,
        _no_propagation,
        _a_record_factory,
        _a_tool_that_listens,
    ],
)
def test_whatever_the_application_adds_gets_records(
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    with default_log(), pytest.MonkeyPatch.context() as undo:
        assert logs.only_stream(LOGGER, logging.INFO) is not None
        change(undo)
        assert logs.only_stream(LOGGER, logging.INFO) is None


def test_a_format_of_the_application_is_used() -> None:
    with default_log():
        default().setFormatter(logs.LineFormatter("%(message)s"))
        assert logs.default_formatter(default()) is None
