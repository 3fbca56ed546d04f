"""Blocking calls in separate threads, and the look-up of host names in such threads.

They never use the event loop's default executor, because jobs can fill it. If a few
`asyncio.to_thread` calls hang, all other work for that executor waits for ever. A separate thread
starts at once.
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
"""Look-ups that are under way. They are shared, so that a name server that hangs blocks one thread
per name, not one per attempt to connect."""


async def offload(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function in a new thread. A cancellation leaves the thread running.

    Raises:
        OSError: no thread can be started.
        Exception: the error that the function raised.
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
    """Look up the addresses of a host, in the order in which they should be tried.

    Raises:
        OSError: the host has no address, or can't be looked up.
    """
    return [host] if _is_address(host) else await _outcome(_look_up(host, port))


def resolve_blocking(host: str, port: int, seconds: float | None) -> list[str]:
    """Look up the addresses of a host from a thread, with a time-out that `getaddrinfo` lacks.

    Args:
        host: host name or address.
        port: port number.
        seconds: how long to wait; None: for ever.

    Raises:
        OSError: the host has no address, or can't be looked up.
        TimeoutError: there was no answer within `seconds`.
    """
    return [host] if _is_address(host) else _look_up(host, port).result(seconds)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> Future[list[str]]:
    """Join the look-up of this host that is under way, or start one."""
    with _lock:
        lookup = _lookups.get((host, port))
        if lookup is not None:
            return lookup
        lookup = _lookups[host, port] = Future()

    def call() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except BaseException as error:  # noqa: BLE001 - all waiting callers get it
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
    """Wait for the result of a thread. A cancellation does not affect other callers that wait."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(wake)
    await ended.wait()
    return future.result()
