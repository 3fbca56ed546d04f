"""Parts of a process for jobs: the reader of its messages, and the turns of its event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from identtqueue.worker.processes import messages
from identtqueue.worker.processes.incoming import READ_BYTES, Incoming
from identtqueue.worker.processes.job_loop import JobLoop
from testing.waiting import eventually


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Provide both ends of a connection; ours does not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def framed(*bodies: bytes) -> bytes:
    return b"".join(messages.LENGTH.pack(len(body)) + body for body in bodies)


async def test_messages_arrive_in_any_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    bodies = [b"", b"a", b"bc" * 50, b"", b"d"]
    heard: list[bytes] = []
    incoming = Incoming(ours, heard.append)
    whole = framed(*bodies)
    theirs.sendall(whole)
    await eventually(lambda: heard == bodies, "all arrive at once")
    for position in range(len(whole)):
        theirs.sendall(whole[position : position + 1])
        await asyncio.sleep(0)
    await eventually(lambda: heard == bodies * 2, "byte by byte")
    incoming.close()
    assert incoming.ended.done()


async def test_a_message_that_takes_many_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    heard: list[bytes] = []
    incoming = Incoming(ours, heard.append)
    body = bytes(range(256)) * (READ_BYTES // 64)
    await asyncio.to_thread(theirs.sendall, framed(body, b"next"))
    theirs.shutdown(socket.SHUT_WR)
    await incoming.ended
    assert heard == [body, b"next"]


async def test_what_arrived_before_the_end_is_heard_and_half_a_message_is_not(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    heard: list[bytes] = []
    incoming = Incoming(ours, heard.append)
    theirs.sendall(framed(b"whole") + framed(b"half")[:-1])
    theirs.close()
    await incoming.ended
    assert heard == [b"whole"]


@pytest.fixture
def job_loop() -> Iterator[JobLoop]:
    loop = JobLoop()
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


def test_a_generator_without_references_closes_in_the_last_turn(job_loop: JobLoop) -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def job() -> int:
        async for number in numbers():
            return number
        return 0

    scope = job_loop.scope()
    assert job_loop.run(scope, job) == 1
    assert job_loop.left(scope, failed=False) == []
    assert closed


def test_an_exit_in_the_last_turn_is_no_failure_of_the_job(
    job_loop: JobLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def exits() -> None:
        await asyncio.sleep(0)
        raise SystemExit(3)

    tasks: list[asyncio.Task[None]] = []

    async def job() -> int:
        tasks.append(asyncio.create_task(exits()))
        return 7

    async def fine() -> int:
        return 8

    scope = job_loop.scope()
    assert job_loop.run(scope, job) == 7
    assert job_loop.left(scope, failed=False) == []
    assert "SystemExit" in caplog.text
    assert isinstance(tasks[0].exception(), SystemExit)
    assert job_loop.run(job_loop.scope(), fine) == 8


def test_what_a_job_leaves_running_is_named(job_loop: JobLoop) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def job() -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(3600), name="left"))

    scope = job_loop.scope()
    job_loop.run(scope, job)
    assert job_loop.left(scope, failed=False) == ["task left (sleep)"]
    assert job_loop.tidy(scope) == []
