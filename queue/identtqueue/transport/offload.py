"""Blocking calls in threads of their own, and host names looked up there.

Never in the event loop's default executor. Jobs fill that one: a few `asyncio.to_thread` calls that
hang, and whatever else waits for it waits for ever. A thread of our own starts at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

_lock: Final = threading.Lock()
_lookups: Final[dict[tuple[str, int], Future[list[str]]]] = {}
"""Look-ups on their way, so that a name server that hangs holds one thread per name, not one per
attempt to connect."""


async def offload(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function in a thread of its own; a cancellation leaves the thread behind.

    Raises:
        OSError: the process may not start another thread.
        Exception: what the function raised.
    """
    called: Future[T] = Future()

    def call() -> None:
        try:
            called.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            called.set_exception(error)

    _start(call)
    return await _outcome(called)


async def resolve(host: str, port: int) -> list[str]:
    """Find the addresses of a host, in the order in which they are to be tried.

    Raises:
        OSError: it has none, or can't be looked up.
    """
    return [host] if _is_address(host) else await _outcome(_look_up(host, port))


def resolve_blocking(host: str, port: int, seconds: float | None) -> list[str]:
    """As `resolve`, for threads; with a bound, which `getaddrinfo` itself does not have.

    Raises:
        OSError: it has none, or can't be looked up.
        TimeoutError: not within so many seconds.
    """
    return [host] if _is_address(host) else _look_up(host, port).result(seconds)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> Future[list[str]]:
    """Join the look-up that is on its way, or start one."""
    with _lock:
        lookup = _lookups.get((host, port))
        if lookup is not None:
            return lookup
        lookup = _lookups[host, port] = Future()

    def call() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except BaseException as error:  # noqa: BLE001 - everybody who waits gets it
            _forget(host, port)
            lookup.set_exception(error)
        else:
            _forget(host, port)
            lookup.set_result(addresses)

    try:
        _start(call)
    except OSError as error:
        _forget(host, port)
        lookup.set_exception(error)
    return lookup


def _forget(host: str, port: int) -> None:
    with _lock:
        _lookups.pop((host, port), None)


def _start(function: Callable[[], None]) -> None:
    try:
        threading.Thread(target=function, daemon=True, name="identtqueue aside").start()
    except RuntimeError as error:
        raise OSError(f"no thread can be started: {error}") from error


async def _outcome(future: Future[T]) -> T:
    """Wait for what a thread gives. Cancelled, nobody else who waits for it is harmed."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(wake)
    await ended.wait()
    return future.result()
