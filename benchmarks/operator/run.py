"""The operator on a real API server, beside its targets: `make bench-operator`, or see `--help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import crowd
import deaths
import outages
import pods
import push
from report import table
from stage import ROOT, say, staged

OUTPUT = ROOT / "build" / "bench"
PARTS = ("push", "deaths", "outages", "crowd", "pods")

Numbers = dict[str, dict[str, list[float]]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions: about 10 minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--task-queues", type=int, default=2000, help="of the crowd")
    parser.add_argument(
        "--write", action="store_true", help="put the table into benchmarks/README.md"
    )
    return parser.parse_args()


async def measure_push(quick: bool) -> Numbers:
    async with staged() as stage:
        first = await push.first_enqueue(stage, 40 if quick else 200)
        return {"push": first, "one step": await push.one_step(stage, 5 if quick else 20)}


async def measure_deaths(quick: bool) -> Numbers:
    async with staged() as stage:
        await stage.operator.start()
        return {"deaths": await deaths.deaths(stage, 5 if quick else 50)}


async def measure_outages(quick: bool) -> Numbers:
    async with staged() as stage:
        return {"outages": await outages.outages(stage, 4 if quick else 50)}


async def measure_crowd(quick: bool, number: int) -> Numbers:
    async with staged() as stage:
        await stage.operator.start()
        return {
            "settle": await crowd.settle(stage, number),
            "idle": await crowd.idle(stage, 20 if quick else 120),
            "burst": await crowd.burst(stage, number),
            "steady": await crowd.steady(stage, number, 5 if quick else 20),
            "restart": await crowd.restart(stage, number),
        }


async def measure_pods(quick: bool) -> Numbers:
    async with pods.ward() as here:
        numbers = {
            "zero": await pods.to_zero(here, 1 if quick else 5),
            "node": await pods.node_loss(here),
        }
        if not quick:
            numbers["drain"] = await pods.ordinary_drain(here)
            numbers["shrink"] = await pods.scale_downs(here, 100)
        return numbers


async def measure(args: argparse.Namespace) -> Numbers:
    """All that is asked for, one part after the other."""
    parts = {
        "push": lambda: measure_push(args.quick),
        "deaths": lambda: measure_deaths(args.quick),
        "outages": lambda: measure_outages(args.quick),
        "crowd": lambda: measure_crowd(args.quick, args.task_queues),
        "pods": lambda: measure_pods(args.quick),
    }
    numbers: Numbers = {}
    for name in PARTS:
        if name in args.only:
            say(f"{name} …")
            numbers |= await parts[name]()
            save(numbers)
    return numbers


def save(numbers: Numbers) -> None:
    """After each part: a later one may fail."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "operator.json").write_text(json.dumps(numbers, indent=1), "utf-8")
    (OUTPUT / "operator.md").write_text(table(numbers) + "\n", "utf-8")


def main() -> None:
    args = arguments()
    numbers = asyncio.run(measure(args))
    print(table(numbers))
    say(f"saved in {OUTPUT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
