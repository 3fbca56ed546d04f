"""One instance of `identtqueue local`: its parts, and their order at start and stop.

Stop order, on SIGTERM or SIGINT: 1 the operator's rounds; 2 all pods get SIGTERM, and their workers
drain; 3 when the last one has ended, the socket, the keeper and the lock. A second signal goes to
the workers, which then cut off their tasks and give them back. A third one kills them.
"""

import asyncio
import logging
import os
import secrets as random
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from identtqueue.logs import LogFormat
from identtqueue_operator.controller import Controller
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.local import leftovers, secrets
from identtqueue_operator.local.addresses import Addresses
from identtqueue_operator.local.api import LocalApi
from identtqueue_operator.local.command import Surroundings
from identtqueue_operator.local.control import Control
from identtqueue_operator.local.deployments import Deployments
from identtqueue_operator.local.files import Files
from identtqueue_operator.local.guard import Guard
from identtqueue_operator.local.manifest import BadManifest
from identtqueue_operator.local.memory import Memory
from identtqueue_operator.local.objects import NAMESPACE, Json, Objects
from identtqueue_operator.local.pods import Pods, Say
from identtqueue_operator.local.state import StateFolder
from identtqueue_operator.metrics import Meter
from identtqueue_operator.settings import Settings
from identtqueue_operator.timings import DEFAULTS, Timings
from identtqueue_operator.workload.deployment import DEPLOYMENT

logger = logging.getLogger(__name__)

LOG_FORMAT = "IDENTTQUEUE_LOG_FORMAT"
"""Variable by which workers of this library learn the format of log lines."""
LEFTOVER_SECONDS = 30.0
"""How long the pods of a killed instance stay in the store, as evidence of their end."""


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    files: Sequence[Path]
    state: Path
    log_format: LogFormat
    """The format of log lines."""
    timings: Timings = DEFAULTS


class Instance:
    """The operator, the store, and the processes.

    Args:
        options: from the command line.
        lock: descriptor of the state folder's lock.
        say: called with each line of the workers' output.
    """

    def __init__(self, options: Options, lock: int, say: Say) -> None:
        self._log_format = options.log_format
        self._folder = StateFolder(options.state)
        self._memory = self._folder.load()
        self._objects = objects = Objects()
        self._addresses = Addresses()
        self._files = Files(
            options.files,
            objects,
            self._addresses,
            self._folder.secrets,
            os.environ,
            self._memory.get("taskqueues") or {},
        )
        self._instance = random.token_hex(8)
        self._guard = Guard(self._instance, lock)
        self._pods = Pods(objects, self._guard, self._surroundings(), say)
        self._deployments = Deployments(objects)
        self._remembering = Memory(self._folder, objects, self._pods.processes)
        self._settings = Settings(
            namespaces=(),
            own_namespace=NAMESPACE,
            identity=socket.gethostname(),
            leader_election=False,
            redis_aliases=self._addresses,
            timings=options.timings,
        )
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            instance=self._instance,
            secrets_folder=self._folder.secrets,
            aliases=self._addresses,
            secret=self._files.values,
            base={**os.environ, LOG_FORMAT: self._log_format},
        )

    async def run(self) -> None:
        """Run until a signal asks to stop and all processes have ended.

        Raises:
            BadManifest: the files cannot be used.
            Exception: a part ended by itself.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        meter = Meter()
        kube = Kube(LocalApi(self._objects))
        controller = Controller(self._settings, kube, meter)
        meter.watch(controller.snapshots, lambda: kube.writes)
        _connect(self._objects, controller)
        control = Control(
            self._objects, self._files.take_up, self._addresses.shown, meter.exposition
        )
        self._guard.start()
        parts: list[asyncio.Task[None]] = []
        try:
            for change in self._files.take_up():
                logger.info("%s", change)
            self._bury_leftovers()
            await control.start(self._folder.listen())
            for name, work in (
                ("controller", controller.run()),
                ("deployments", self._deployments.run()),
                ("memory", self._remembering.run()),
                ("signals", self._wait_for_stop()),
            ):
                parts.append(loop.create_task(work, name=name))
            logger.info("running; `identtqueue local get` shows the state")
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            await self._stop(controller, parts)
            await control.close()
            if parts:
                self._remembering.save()
            await self._guard.close()
            secrets.remove_files(self._folder.secrets)

    async def _wait_for_stop(self) -> None:
        """Return when a signal asks to stop; take up the files at SIGHUP."""
        while await self._signals.get() == signal.SIGHUP:
            try:
                changes = self._files.take_up()
            except BadManifest as error:
                logger.error("the files stay as they were: %s", error)
            else:
                logger.info("files read again: %s", ", ".join(changes) or "nothing has changed")

    # --- stop ---

    async def _stop(self, controller: Controller, parts: list[asyncio.Task[None]]) -> None:
        """Stop the operator's rounds, then all pods."""
        self._deployments.stop()
        self._remembering.stop()
        await controller.close()
        self._pods.end_all()
        if len(self._pods):
            who = (
                "1 pod finishes its"
                if len(self._pods) == 1
                else f"{len(self._pods)} pods finish their"
            )
            logger.info("stopping: %s tasks; a second signal cuts them off", who)
        hurrying = asyncio.get_running_loop().create_task(self._hurry(), name="hurry")
        await self._pods.ended()
        for task in (hurrying, *parts):
            task.cancel()
        await asyncio.gather(hurrying, *parts, return_exceptions=True)

    async def _hurry(self) -> None:
        """Pass on further signals: the workers cut off their tasks, then they are killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            while await self._signals.get() == signal.SIGHUP:
                pass
            logger.warning("the workers get %s", number.name)
            self._pods.send(number)

    # --- an instance that was killed ---

    def _bury_leftovers(self) -> None:
        """Put the pods of an instance that was killed into the store, as pods that have ended."""
        found: list[Json] = self._memory.get("pods") or []
        self._remembering.leftovers = found
        for pod in found:
            leftovers.end(pod["processes"])
            self._objects.create("pods", leftovers.as_ended(pod["body"]))
        if found:
            logger.warning(
                "an earlier instance was killed with %d of its pods; what they held is requeued",
                len(found),
            )
            asyncio.get_running_loop().call_later(LEFTOVER_SECONDS, self._forget, found)

    def _forget(self, pods: list[Json]) -> None:
        self._remembering.leftovers = []
        for pod in pods:
            self._objects.remove("pods", key_of(pod["body"]))


def _connect(objects: Objects, controller: Controller) -> None:
    """Tell the controller of each change, as the watches of a cluster would."""

    def hear(event: str, plural: str, body: Json) -> None:
        gone = event == "DELETED"
        match plural:
            case "taskqueues" if gone:
                controller.task_queue_deleted(key_of(body))
            case "taskqueues":
                controller.task_queue_changed(body)
            case DEPLOYMENT.plural if gone:
                controller.workload_deleted(body, DEPLOYMENT)
            case DEPLOYMENT.plural:
                controller.workload_changed(body, DEPLOYMENT)
            case "pods" if gone:
                controller.pod_deleted(body)
            case "pods":
                controller.pod_changed(body)

    objects.listen(hear)
