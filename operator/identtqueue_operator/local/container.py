"""A container of a pod as a process: started, probed, restarted with a growing pause.

The pauses are the kubelet's: the first restart comes at once, then after 10 s, 20 s, and so on up
to five minutes. A process that has run for ten minutes begins anew.
"""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from identtqueue_operator.local.command import Command, NotRunnable
from identtqueue_operator.local.guard import Guard
from identtqueue_operator.local.objects import Json
from identtqueue_operator.local.probes import Probe
from identtqueue_operator.local.process import Running

FIRST_BACKOFF_SECONDS = 10.0
"""Pause before the second restart. Each further one is twice as long."""
LONGEST_BACKOFF_SECONDS = 300.0
STEADY_SECONDS = 600.0
"""After so long without an end, the next restart comes at once again."""
FOREVER_SECONDS = 86_400.0
"""Longer than any process outlives a SIGKILL."""
START_PERIOD_SECONDS = 0.1
"""Period of the probes until the first success, which costs a local worker next to nothing."""


class Container:
    """The runs of one container, one after the other.

    Args:
        spec: the container, as in the pod's specification.
        guard: knows the processes.
        command: makes the command anew for each run.
        say: called with each line of output.
        note: called with what happens to it, in words.
        changed: called when the status has changed.

    Attributes:
        status: as in the pod's `containerStatuses`.
        is_ready: whether its readiness probe succeeds.
        pid: of the process that runs; None: none does.
    """

    def __init__(
        self,
        spec: Json,
        guard: Guard,
        command: Callable[[], Command],
        say: Callable[[str], None],
        note: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.name = str(spec.get("name") or "worker")
        self.is_ready = False
        self.pid: int | None = None
        self.status: Json = {
            "name": self.name,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }
        self._liveness = Probe.read(spec.get("livenessProbe"))
        self._readiness = Probe.read(spec.get("readinessProbe"))
        self._startup = Probe.read(spec.get("startupProbe"))
        self._guard = guard
        self._command = command
        self._say = say
        self._note = note
        self._changed = changed
        self._running: Running | None = None
        self._ending = asyncio.Event()
        self._kill_why = ""

    async def run(self, grace_seconds: float) -> None:
        """Run, and restart what ends, until it is asked to end and has ended.

        Args:
            grace_seconds: time between SIGTERM and SIGKILL.
        """
        backoff = 0.0
        while not self._ending.is_set():
            began = asyncio.get_running_loop().time()
            await self._run_once(grace_seconds)
            if self._ending.is_set():
                return
            if asyncio.get_running_loop().time() - began >= STEADY_SECONDS:
                backoff = 0.0
            await self._pause(backoff)
            backoff = min(max(2 * backoff, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            self.status["restartCount"] += 1

    def end(self) -> None:
        """Ask it to end, once, and start it no more."""
        if not self._ending.is_set():
            self._ending.set()
            self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process, if there is one."""
        if self._running is not None:
            self._running.send(number)

    # --- one run ---

    async def _run_once(self, grace_seconds: float) -> None:
        """Run the process until it ends. One that cannot be started has ended."""
        try:
            command = self._command()
            running = await Running.start(command, self._guard, self._say)
        except (NotRunnable, OSError, ValueError) as error:
            self._note(f"cannot be started: {error}")
            waiting = {"reason": "RunContainerError", "message": str(error)}
            self._set_state({"waiting": waiting})
            return
        self._running, self.pid = running, running.pid
        self._set_state({"running": {"startedAt": _now()}})
        self._note(f"started as process {running.pid}")
        loop = asyncio.get_running_loop()
        probing = loop.create_task(self._probe(command.port, grace_seconds))
        terminating = loop.create_task(self._terminate(grace_seconds))
        if self._ending.is_set():  # asked while it started
            running.send(signal.SIGTERM)
        try:
            code = await running.ended()
        finally:
            probing.cancel()
            terminating.cancel()
            self._running = self.pid = None
        self._ended(code)

    def _ended(self, code: int) -> None:
        began = (self.status["state"].get("running") or {}).get("startedAt")
        self.is_ready = False
        self._note(f"ended with exit code {code}{_signal(code)}")
        self._set_state(
            {
                "terminated": {
                    "exitCode": code,
                    "reason": "Completed" if code == 0 else "Error",
                    "message": self._kill_why,
                    "startedAt": began,
                    "finishedAt": _now(),
                }
            }
        )
        self._kill_why = ""

    async def _terminate(self, grace_seconds: float) -> None:
        """Kill the process when its grace time is over."""
        await self._ending.wait()
        await asyncio.sleep(grace_seconds)
        self._note(f"has not ended within {grace_seconds:g} s, and is killed")
        self.send(signal.SIGKILL)

    async def _pause(self, seconds: float) -> None:
        """Wait before a restart, or until it is asked to end."""
        if not seconds:
            return
        self._note(f"is started again in {seconds:g} s")
        if "terminated" in self.status["state"]:
            text = f"back-off {seconds:g} s restarting container {self.name}"
            self._set_state({"waiting": {"reason": "CrashLoopBackOff", "message": text}})
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            pass

    def _set_state(self, state: Json) -> None:
        ended = self.status["state"].get("terminated")
        if ended and "terminated" not in state:
            self.status["lastState"] = {"terminated": ended}
        self.status["state"] = state
        self._changed()

    # --- probes ---

    async def _probe(self, port: int | None, grace_seconds: float) -> None:
        """Probe the process until it ends."""
        if port is None:
            self._set_ready(True)
            return
        if self._startup is not None and not await self._starts(self._startup, port):
            await self._stop("its startup probe fails", grace_seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe_readiness(port))
            if self._liveness is not None:
                group.create_task(self._probe_liveness(self._liveness, port, grace_seconds))

    async def _starts(self, probe: Probe, port: int) -> bool:
        clock = asyncio.get_running_loop().time
        deadline = clock() + probe.period_seconds * probe.failures
        while not await probe.succeeds(port):
            if clock() > deadline:
                return False
            await asyncio.sleep(START_PERIOD_SECONDS)
        return True

    async def _probe_readiness(self, port: int) -> None:
        probe, failures, period = self._readiness, 0, START_PERIOD_SECONDS
        if probe is None:
            self._set_ready(True)
            return
        while True:
            failures = 0 if await probe.succeeds(port) else failures + 1
            if failures == 0:
                period = probe.period_seconds
            if failures == 0 or failures >= probe.failures:
                self._set_ready(failures == 0)
            await asyncio.sleep(period)

    async def _probe_liveness(self, probe: Probe, port: int, grace_seconds: float) -> None:
        failures = 0
        while failures < probe.failures:
            await asyncio.sleep(probe.period_seconds)
            failures = 0 if await probe.succeeds(port) else failures + 1
        await self._stop("its liveness probe fails", grace_seconds)

    async def _stop(self, why: str, grace_seconds: float) -> None:
        """Have the process end, so that it is started anew; cancelled when it has ended."""
        self._kill_why = why
        self._note(f"{why}, so it is ended")
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, FOREVER_SECONDS)):
            self.send(number)
            await asyncio.sleep(seconds)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.is_ready:
            self.is_ready = ready
            self._changed()


def _now() -> str:
    """Return the present time, to the microsecond: with a fraction it is exact evidence."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _signal(code: int) -> str:
    """Name the signal of an exit code above 128."""
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""
