"""The operator's process: start, wait to lead, work, stop in order.

Stop order, on SIGTERM or SIGINT: 1 the gateway; 2 the reconcilers, each where it stands (a round
can always be repeated); 3 the connections to Redis; 4 kopf's watches; 5 the Lease is given back;
6 the HTTP port.
Losing the Lease ends the process with an error, as does the end of any part of it: the next start
begins from what is seen.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

import kopf

from identtqueue_operator import handlers, logs
from identtqueue_operator.collector import Collector
from identtqueue_operator.controller import Controller
from identtqueue_operator.gateway.callers import Callers
from identtqueue_operator.gateway.directory import Directory
from identtqueue_operator.gateway.server import Gateway
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import TASK_QUEUES, Kube
from identtqueue_operator.kube.leader import Leader
from identtqueue_operator.kube.requests import Requests, connect
from identtqueue_operator.metrics import Meter
from identtqueue_operator.scrapers import Scrapers
from identtqueue_operator.server import Server
from identtqueue_operator.settings import Settings, SettingsError

logger = logging.getLogger("identtqueue_operator")

CRD_WAIT_SECONDS = 2.0
"""Pause between two attempts to list TaskQueues, while their CRD is missing."""


class LeadershipLost(Exception):
    """Another replica may lead now."""


async def operate(settings: Settings) -> None:
    """Run until a signal asks to stop.

    Raises:
        LeadershipLost: the Lease could not be renewed.
        Exception: a part of the operator ended.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    meter = Meter()
    # The Lease is renewed over connections of its own. Otherwise a slow API server, with a thousand
    # writes in line, would cost the leadership, and a restart would add to the load.
    lease_api = await connect()
    # Pods are watched over connections of their own too, because a watch holds its connection.
    watch_api = await connect(connections=len(settings.namespaces) + 2)
    async with (
        Kube(Requests(await connect())) as kube,
        Kube(Requests(lease_api)) as lease_kube,
        Kube(Requests(watch_api)) as watch_kube,
    ):
        scrapers = Scrapers(kube, time.monotonic) if settings.metrics_access == "token" else None
        check = scrapers.check if scrapers else None
        server = Server(meter.exposition, check, settings.certificate, settings.timings)
        port = await server.start(settings.http_port)
        logger.info("serving /livez, /readyz and /metrics on port %d", port)
        leader = Leader(lease_api, lease_kube, settings.own_namespace, settings.identity)
        try:
            if settings.leader_election and not await _done_before(stop, leader.acquire()):
                return
            await _Term(settings, kube, watch_kube, meter, server, stop).lead(leader)
        finally:
            if settings.leader_election:
                await leader.release()
            await server.close()


@dataclass
class _Term:
    """The time between getting the Lease and giving it back."""

    settings: Settings
    kube: Kube
    watch_kube: Kube
    meter: Meter
    server: Server
    stop: asyncio.Event
    watching_stops: asyncio.Event = field(default_factory=asyncio.Event)

    async def lead(self, leader: Leader) -> None:
        """Work until asked to stop, or until a part of it ends."""
        self.meter.leading.set(1)
        controller = Controller(self.settings, self.kube, self.meter)
        self.meter.watch(controller.snapshots, lambda: self.kube.writes)
        gateway = await self._open_gateway(controller)
        loop = asyncio.get_running_loop()
        asked = loop.create_task(self.stop.wait(), name="wait for a signal")
        parts = [
            loop.create_task(controller.run(), name="controller"),
            loop.create_task(controller.watch_pods(self.watch_kube), name="pods"),
        ]
        if self.settings.leader_election:
            parts.append(loop.create_task(_hold(leader), name="leader"))
        # Last: kopf ends every task that began after it.
        watching = loop.create_task(self._watch(controller), name="watches")
        try:
            await asyncio.wait([asked, watching, *parts], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if gateway is not None:
                await gateway.close()
            await controller.close()
            self.watching_stops.set()
            for task in (asked, *parts):
                task.cancel()
            results = await asyncio.gather(watching, *parts, return_exceptions=True)
            self.meter.leading.set(0)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _open_gateway(self, controller: Controller) -> Gateway | None:
        """Begin to answer `kubectl tq`, if that is wanted: only the leader knows the queues."""
        port = self.settings.gateway_port
        if port is None:
            return None
        callers = Callers(self.kube, time.monotonic)
        gateway = Gateway(Directory(controller.reconcilers), callers, self.kube)
        port = await gateway.start(port)
        logger.info("the gateway for kubectl tq listens on port %d of the loopback address", port)
        return gateway

    async def _watch(self, controller: Controller) -> None:
        """Run kopf until it has to stop."""
        if not await _done_before(self.watching_stops, self._wait_for_crd()):
            return
        existing = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(controller),
            settings=handlers.settings(cluster_wide=self.settings.cluster_wide),
            standalone=True,
            clusterwide=self.settings.cluster_wide,
            namespaces=self.settings.namespaces,
            # Otherwise kopf asks for the user's name, and an arbitrary uid in a pod has none.
            identity=self.settings.identity,  # type: ignore[arg-type]
            stop_flag=self.watching_stops,
        )
        # kopf has just installed its own, which would stop it before the reconcilers.
        _stop_on_signals(self.stop)
        await kopf.run_tasks(tasks, ignored=existing)

    async def _wait_for_crd(self) -> None:
        """Wait until TaskQueues can be listed: kopf does not notice a CRD that comes later."""
        while True:
            try:
                namespace = next(iter(self.settings.namespaces), None)
                await self.kube.try_to_list(namespace, TASK_QUEUES)
            except ApiError as error:
                if not self.server.problem:
                    logger.warning("waiting until TaskQueues can be listed: %s", error)
                self.server.problem = f"TaskQueues can't be listed: {error}"
                await asyncio.sleep(CRD_WAIT_SECONDS)
            else:
                self.server.problem = ""
                return


async def _hold(leader: Leader) -> None:
    await leader.hold()
    raise LeadershipLost


async def _done_before(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Wait until work is done or a stop is asked for. Return False if it was a stop."""
    task = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stop.wait())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    for each in (task, asked):
        if not each.done():
            each.cancel()
    await asyncio.wait([task, asked])
    if not task.cancelled():
        task.result()
    return not stop.is_set()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def main() -> int:
    """Run the operator, and return the process's exit code."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.set_up(settings.log_level, settings.log_format)
    Collector().start()  # of Python's garbage, not of metrics
    try:
        asyncio.run(operate(settings))
    except LeadershipLost:
        return 1
    except Exception:
        logger.exception("the operator ended")
        return 1
    logger.info("stopped")
    return 0
