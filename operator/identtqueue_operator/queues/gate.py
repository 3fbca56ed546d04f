"""The order in which connections to Redis are opened, so that none waits behind a silent server.

An attempt to connect costs a place: a socket, perhaps a TLS context, and three seconds where nobody
answers. Each endpoint has a gate, and all gates share two lanes:

* the fast lane, for endpoints whose last attempt did not fail. A place in it is free again after a
  tenth of a second, however long the attempt takes. So four hundred new addresses that are silent
  delay the next one by less than a second, and only once: then they are in the slow lane;
* the slow lane, for endpoints whose last attempt failed. It has few places and a pace. The endpoint
  with the fewest failures in a row is next, so a Redis that has just been restarted does not queue
  up behind those that never answered.

A server that accepts a login and hangs up again has not failed. So connections that succeed are
counted too, and one endpoint gets a bounded number of them.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator

from identtqueue.errors import RedisUnavailable
from identtqueue.transport.address import Topology
from identtqueue_operator.timings import DEFAULTS, Timings

FAST_PLACES = 64
FAST_SECONDS = 0.1
"""After this time an attempt in the fast lane frees its place, and goes on without one."""
SLOW_PLACES = 16
SLOW_PACE_SECONDS = 0.05
"""Time between two attempts in the slow lane. So all endpoints in trouble together make at most
twenty attempts a second."""
AT_ONCE = 4
"""Most attempts of one endpoint at once; the nodes of a cluster are connected to side by side."""
BURST = 30
"""How many connections one endpoint may open in a row. That is enough for the start and for some
restarts or failovers. It may open one more after `Timings.connection_refill_seconds`."""
CLUSTER_PARTS = 3
"""A cluster may open this many times more connections. It has at least so many primaries, and a
failover costs connections to each of them."""


class Lanes:
    """The places that all endpoints share.

    Args:
        timings: how soon an endpoint may be connected to once more.
    """

    def __init__(self, timings: Timings = DEFAULTS) -> None:
        self.refill_seconds = timings.connection_refill_seconds
        self._fast = asyncio.Semaphore(FAST_PLACES)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._busy = 0
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def gate(self, topology: Topology = Topology.STANDALONE) -> "Gate":
        """Make the gate of one endpoint."""
        return Gate(self, CLUSTER_PARTS if topology is Topology.CLUSTER else 1)

    @contextlib.asynccontextmanager
    async def fast(self) -> AsyncIterator[None]:
        """Hold a place in the fast lane, for a tenth of a second at most."""
        await self._fast.acquire()
        places = contextlib.ExitStack()
        places.callback(self._fast.release)
        timer = self._loop.call_later(FAST_SECONDS, places.close)
        try:
            yield
        finally:
            timer.cancel()
            places.close()

    @contextlib.asynccontextmanager
    async def slow(self, failures: int) -> AsyncIterator[None]:
        """Hold a place in the slow lane."""
        turn: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (failures, next(self._numbers), turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._busy -= 1
        self._let_in()

    def _let_in(self) -> None:
        """Give the free places to those that wait, at the lane's pace."""
        while self._waiting and self._waiting[0][2].done():  # cancelled
            heapq.heappop(self._waiting)
        if not self._waiting or self._busy >= SLOW_PLACES or self._timer is not None:
            return
        pause = self._next_at - self._loop.time()
        if pause > 0:
            self._timer = self._loop.call_later(pause, self._tick)
            return
        _, _, turn = heapq.heappop(self._waiting)
        self._busy += 1
        self._next_at = self._loop.time() + SLOW_PACE_SECONDS
        turn.set_result(None)
        self._let_in()

    def _tick(self) -> None:
        self._timer = None
        self._let_in()


class Gate:
    """The way to one endpoint's server, or servers.

    Args:
        lanes: the places, shared with other endpoints.
        parts: how many servers the endpoint has; each may be connected to as often as a single one.

    Attributes:
        failures: attempts in a row that failed.
    """

    def __init__(self, lanes: Lanes, parts: int = 1) -> None:
        self.failures = 0
        self._parts = parts
        self._lanes = lanes
        self._own = asyncio.Semaphore(AT_ONCE)
        self._loop = asyncio.get_running_loop()
        self._left = float(BURST * parts)
        self._counted_at = self._loop.time()

    @contextlib.asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Hold this while a connection is opened.

        Raises:
            RedisUnavailable: too many were opened recently and have ended.
        """
        async with self._own:
            self._check()
            lane = self._lanes.slow(self.failures) if self.failures else self._lanes.fast()
            async with lane:
                try:
                    yield
                except Exception:
                    self.failures += 1
                    raise
                self.failures = 0
                self._left -= 1

    def _check(self) -> None:
        now = self._loop.time()
        refill_seconds = self._lanes.refill_seconds / self._parts
        earned = (now - self._counted_at) / refill_seconds
        self._left = min(BURST * self._parts, self._left + earned)
        self._counted_at = now
        if self._left < 1:
            raise RedisUnavailable(
                "it lets the operator in and ends the connection, again and again; the next "
                f"attempt is due in {(1 - self._left) * refill_seconds:.0f} s"
            )


class LateGate:
    """A gate that is closed until something else has succeeded.

    Args:
        is_open: set while it may be passed.
        gate: the way on.
    """

    def __init__(self, is_open: asyncio.Event, gate: Gate) -> None:
        self._is_open = is_open
        self._gate = gate

    @contextlib.asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until it is open, and go on as `Gate.passage` does."""
        await self._is_open.wait()
        async with self._gate.passage():
            yield
