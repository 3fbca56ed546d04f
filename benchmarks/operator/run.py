"""The operator on a real API server, beside its targets: `make bench-operator`, or see `--help`.

Parts that are measured alone replace their lines in what was saved before, so that a long part can
be repeated by itself; each keeps the facts of its own run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.harness import command
from benchmarks.host import host_facts
from benchmarks.operator import crowd, deaths, from_zero, outages, pods, push, strangers
from benchmarks.operator.report import Numbers, markdown
from benchmarks.operator.stage import definition, say, staged

NAME = "operator"


@dataclass(frozen=True)
class Repetitions:
    """How much is measured."""

    push: int = 200
    one_step: int = 20
    deaths: int = 50  # of each kind
    outages: int = 50
    task_queues: int = 2000
    idle_seconds: float = 120
    steady_seconds: float = 20
    to_zero: int = 5
    from_zero: int = 20
    scale_downs: int = 100
    foreign_seconds: float = 330  # longer than the period of a resync
    noisy_pushes: int = 20


QUICK = Repetitions(40, 5, 5, 4, 2000, 20, 5, 1, 5, 20, 20, 5)


async def measure_push(times: Repetitions) -> Numbers:
    async with staged() as stage:
        first = await push.first_enqueue(stage, times.push)
        return {"push": first, "one step": await push.one_step(stage, times.one_step)}


async def measure_deaths(times: Repetitions) -> Numbers:
    async with staged() as stage:
        await stage.operator.start()
        return {"deaths": await deaths.deaths(stage, times.deaths)}


async def measure_outages(times: Repetitions) -> Numbers:
    async with staged() as stage:
        return {"outages": await outages.outages(stage, times.outages)}


async def measure_crowd(times: Repetitions) -> Numbers:
    number = times.task_queues
    async with staged() as stage:
        await stage.operator.start()
        return {
            "settle": await crowd.settle(stage, number),
            "idle": await crowd.idle(stage, times.idle_seconds),
            "burst": await crowd.burst(stage, number),
            "steady": await crowd.steady(stage, number, times.steady_seconds),
            "restart": await crowd.restart(stage, number),
        }


async def measure_zero(times: Repetitions) -> Numbers:
    async with pods.ward() as here:
        return {"zero": await pods.to_zero(here, times.to_zero)}


async def measure_start(times: Repetitions) -> Numbers:
    async with pods.ward() as here:
        return await from_zero.from_zero(here, times.from_zero)


async def measure_node(_: Repetitions) -> Numbers:
    async with pods.ward() as here:
        return {"node": await pods.node_loss(here)}


async def measure_drain(_: Repetitions) -> Numbers:
    async with pods.ward() as here:
        return {"drain": await pods.ordinary_drain(here)}


async def measure_shrink(times: Repetitions) -> Numbers:
    async with pods.ward() as here:
        return {"shrink": await pods.scale_downs(here, times.scale_downs)}


async def measure_strangers(times: Repetitions) -> Numbers:
    return {
        "foreign": await strangers.foreign_pods(times.task_queues, times.foreign_seconds),
        "noisy": await strangers.noisy_neighbours(times.noisy_pushes),
        "huge": await strangers.huge_neighbours(times.noisy_pushes),
    }


PARTS: dict[str, Callable[[Repetitions], Awaitable[Numbers]]] = {
    "push": measure_push,
    "deaths": measure_deaths,
    "outages": measure_outages,
    "crowd": measure_crowd,
    "start": measure_start,
    "zero": measure_zero,
    "node": measure_node,
    "drain": measure_drain,
    "shrink": measure_shrink,
    "strangers": measure_strangers,
}
WITHOUT_CLUSTER = {"strangers"}
"""Parts for which the tests' API server stands in."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--only", nargs="+", metavar="PART", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/measurements.md"
    )
    return parser.parse_args()


async def measure(args: argparse.Namespace) -> None:
    """One part after the other; saved after each, since a later one may fail."""
    file = command.OUTPUT / f"{NAME}.json"
    saved = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for part in args.only:
        say(f"{part} …")
        facts = host_facts(command.typed("make bench-operator"))
        numbers = await PARTS[part](QUICK if args.quick else Repetitions())
        saved[part] = {"facts": facts, "numbers": numbers}
        text = markdown(saved)
        command.save(NAME, saved, text)
    if args.write:
        command.publish("operator results", text)


async def main(args: argparse.Namespace) -> None:
    needed = definition() if set(args.only) - WITHOUT_CLUSTER else contextlib.nullcontext()
    async with needed:
        await measure(args)


if __name__ == "__main__":
    command.end_in_order()
    asyncio.run(main(arguments()))
