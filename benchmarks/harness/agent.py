"""Runs inside a library's own virtual environment: `harness.agent LIBRARY ROLE [WORD …]`.

A role's answer is one line of JSON on standard output, after the mark; a worker has none, and
`watch` goes on answering.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

MARK = "bench-answer "
COROUTINES = 32
TEXT = "x" * 85
"""The argument of the tasks whose memory is measured."""

WATCH_SECONDS = 5.0


class Producer:
    """A library's producer, with coroutines and plain functions looking alike."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.is_async = inspect.iscoroutinefunction(inner.enqueue)
        self.has_batches = hasattr(inner, "enqueue_many")

    def has(self, name: str) -> bool:
        return hasattr(self._inner, name)

    async def call(self, name: str, *args: Any) -> Any:
        found = getattr(self._inner, name)(*args)
        return await found if inspect.isawaitable(found) else found

    async def round_trip(self, value: int) -> Any:
        """Enqueue and await the result, in one call where the library has one for it."""
        if hasattr(self._inner, "round_trip"):
            return await self.call("round_trip", value)
        return await self.call("result", await self.call("enqueue", value))

    async def share(self, number: int, ways: int) -> None:
        """Enqueue one at a time, in so many coroutines, or threads where the library blocks."""
        await self.spread("enqueue", [range(way, number, ways) for way in range(ways)])

    async def spread(self, name: str, shares: Sequence[Iterable[Any]]) -> None:
        """Call a function for each value, in one coroutine or thread per share of them."""
        call = getattr(self._inner, name)
        if self.is_async:
            await asyncio.gather(*(self._few(call, values) for values in shares))
        else:
            with ThreadPoolExecutor(len(shares)) as pool:
                list(pool.map(lambda values: self._few_blocking(call, values), shares))

    async def _few(self, call: Callable[[Any], Any], values: Iterable[Any]) -> None:
        for value in values:
            await call(value)

    def _few_blocking(self, call: Callable[[Any], Any], values: Iterable[Any]) -> None:
        for value in values:
            call(value)

    async def batches(self, number: int, size: int) -> None:
        for start in range(0, number, size):
            await self.call("enqueue_many", range(start, min(start + size, number)))


async def timed(work: Awaitable[Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


async def fill(producer: Producer, number: int) -> dict[str, float]:
    """Put tasks into the queue, the fastest way there is."""
    if producer.has_batches:
        return await timed(producer.batches(number, 1000))
    return await timed(producer.share(number, COROUTINES))


async def single(producer: Producer, number: int, ways: int = COROUTINES) -> dict[str, float]:
    """One at a time."""
    await producer.share(ways, ways)  # connect, load scripts
    return await timed(producer.share(number, ways))


async def batched(producer: Producer, number: int, size: int = 1000) -> dict[str, float]:
    """In batches; nothing where the library has none."""
    if not producer.has_batches:
        return {}
    await producer.batches(10, 10)
    return await timed(producer.batches(number, size))


async def texts(producer: Producer, number: int) -> dict[str, float]:
    """One at a time, with `TEXT` as the argument."""
    name = "enqueue_text" if producer.has("enqueue_text") else "enqueue"
    shares = [[TEXT] * (number // COROUTINES)] * COROUTINES
    return await timed(producer.spread(name, shares))


async def scheduled(producer: Producer, number: int, delay_ms: int, gap_ms: int) -> None:
    """One at a time; they are due after the delay, with that gap between them."""
    for value in range(number):
        delay_seconds = (delay_ms + value * gap_ms) / 1000
        await producer.call("enqueue_later", value, delay_seconds)


async def leave(producer: Producer, number: int) -> list[str]:
    """In batches, with their ids as the answer."""
    return await producer.call("enqueue_ids", range(number))


async def cancel(producer: Producer, *ids: str) -> dict[str, float]:
    """Cancel these tasks, one at a time in each of several coroutines."""
    shares = [ids[way::COROUTINES] for way in range(COROUTINES)]
    return await timed(producer.spread("cancel", shares))


async def latency(producer: Producer, seconds: int) -> dict[str, Any]:
    """Enqueue, await the result, and again, on an idle worker; all times, in ms."""

    async def once(value: int) -> float:
        start = time.perf_counter()
        got = await producer.round_trip(value)
        assert got == value, f"{got!r} is not the result {value!r}"
        return (time.perf_counter() - start) * 1000

    for value in range(5):
        await once(value)
    end = time.perf_counter() + seconds
    times = [await once(value) for value in _until(end)]
    return {"ms": times}


def _until(end: float) -> Iterator[int]:
    value = 0
    while value < 3 or time.perf_counter() < end:
        yield value
        value += 1


async def enqueue(producer: Producer, *pairs: str) -> dict[str, tuple[float, str]]:
    """Put tasks `LABEL SECONDS …` into the queue, in that order; when, and their ids.

    It is connected, and begins when there is a line on standard input.
    """
    await asyncio.to_thread(sys.stdin.readline)
    tasks = zip(pairs[::2], pairs[1::2], strict=True)
    return {
        label: (time.monotonic(), await producer.call("enqueue_hold", label, float(seconds)))
        for label, seconds in tasks
    }


async def watch(producer: Producer, *pairs: str) -> None:
    """Say of tasks `LABEL ID …` whether an end is recorded, until killed.

    Each time one more task is put into the queue, as in a service that is in use: some libraries
    look for what was lost only then.
    """
    tasks = dict(zip(pairs[::2], pairs[1::2], strict=True))
    while True:
        found = {label: await producer.call("outcome", id_) for label, id_ in tasks.items()}
        _answer((time.monotonic(), found))
        await producer.call("enqueue_hold", "tick", 0.0)
        await asyncio.sleep(WATCH_SECONDS)


ROLES: dict[str, Callable[..., Awaitable[Any]]] = {
    "fill": fill,
    "single": single,
    "batched": batched,
    "latency": latency,
    "texts": texts,
    "scheduled": scheduled,
    "leave": leave,
    "cancel": cancel,
    "enqueue": enqueue,
    "watch": watch,
}


async def act(inner: Any, role: str, words: list[str]) -> Any:
    producer = Producer(inner)
    await producer.call("open")
    try:
        arguments = words if role in ("enqueue", "watch", "cancel") else map(int, words)
        return await ROLES[role](producer, *arguments)
    finally:
        await producer.call("close")


def command(module: Any) -> list[str]:
    """Return the words that start a library's worker, without this program before it."""
    if hasattr(module, "start_words"):
        return list(module.start_words())
    from benchmarks.harness.adapters.base import told

    return told(module.work)


def versions(names: list[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def _answer(value: Any) -> None:
    print(MARK + json.dumps(value), flush=True)


def main() -> None:
    library, role, *words = sys.argv[1:]
    if role == "versions":
        return _answer(versions(words))
    module = importlib.import_module(f"benchmarks.harness.adapters.{library}")
    if role == "work":
        return module.work()
    if role == "promise":
        return _answer(asdict(module.promise))
    if role == "command":
        return _answer(command(module))
    blocking = role.startswith("blocking-")
    inner = module.BlockingProducer() if blocking else module.Producer()
    return _answer(asyncio.run(act(inner, role.removeprefix("blocking-"), words)))


if __name__ == "__main__":
    main()
