"""cauli (Rust core).

Best: `-c`, which its documentation calls the one knob most deployments need, in one process;
jobs in its asyncio loop, or plain functions on its threads; hiredis, and `enqueue_many`.
Settings: https://github.com/bilalwork31-cyber/Cauli/blob/main/docs/CONFIGURATION.md
Guarantees: https://github.com/bilalwork31-cyber/Cauli/blob/main/PROTOCOL.md
"""

from __future__ import annotations

import os
from typing import Any

from cauli import AsyncCauli
from cauli.result import AsyncResult

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

PROTOCOL = "https://github.com/bilalwork31-cyber/Cauli/blob/main/PROTOCOL.md"
CONFIGURATION = "https://github.com/bilalwork31-cyber/Cauli/blob/main/docs/CONFIGURATION.md"

promise = Promise(
    "at least once",
    "taken over when idle for its `timeout` (300 s) and a margin, at least "
    "`--visibility-timeout` (60 s)",
    PROTOCOL,
    {
        f"--visibility-timeout {SILENCE_SECONDS}": CONFIGURATION,
        f"timeout={SILENCE_SECONDS * 4}": CONFIGURATION,
        f"--drain-timeout {GRACE_SECONDS}": CONFIGURATION,
    },
)

app = AsyncCauli(redis_url=setup.redis, default_queue="bench")
options: dict[str, Any] = {"timeout": SILENCE_SECONDS * 4} if setup.reliable else {}


async def async_noop(value: int) -> int:
    tally.count()
    return value


def plain_noop(value: int) -> int:
    tally.count()
    return value


noop = app.task(name="noop")(async_noop if setup.job == "async" else plain_noop)


@app.task(name="hold", **options)
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def work() -> None:
    words = ["-A", "benchmarks.harness.adapters.cauli:app", *setup.option("-c")]
    if setup.best:
        os.environ["CAULI_LOOP"] = "uvloop" if setup.uvloop else "asyncio"
        words += ["--procs", "1", "--log-level", "warn"]
    if setup.reliable:
        words += ["--visibility-timeout", str(SILENCE_SECONDS)]
        words += ["--drain-timeout", str(GRACE_SECONDS)]
    run_command("cauli-worker", *words)


class Producer:
    async def open(self) -> None:
        quiet()

    async def close(self) -> None:
        await app.aclose()

    async def enqueue(self, value: Any) -> Any:
        return await noop.adelay(value)

    async def enqueue_many(self, values: range) -> None:
        await app.aenqueue_many([(noop, (value,)) for value in values])

    async def result(self, task: Any) -> int:
        return await task.aget(30)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.adelay(label, seconds)).id

    async def outcome(self, task_id: str) -> str | None:
        status = await AsyncResult(task_id, app).astatus()
        return {"success": SUCCEEDED, "failure": FAILED}.get(str(status))
