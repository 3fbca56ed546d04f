"""Calls the service of an application for a test: a JSON line in, a JSON line out.

It runs in the application's folder and environment, so it needs the standard library alone.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

sys.path.insert(0, "")

import service

FAILURE = getattr(service, "CheckFailed", ())
"""Error of the service that is an answer."""


def questions() -> Any:
    """Iterate over the calls that are asked for."""
    return map(json.loads, iter(sys.stdin.readline, ""))


def answer(value: object) -> None:
    print(json.dumps(value), flush=True)


async def serve(target: Any) -> None:
    for name, *args in questions():
        method: Callable[..., Awaitable[object]] = getattr(target, name)
        try:
            answer(await method(*args))
        except FAILURE as error:
            answer(type(error).__name__)


async def main() -> None:
    async with service.Passports() as passports:
        await serve(passports)


if hasattr(service, "Passports"):
    asyncio.run(main())
else:
    for name, *args in questions():
        try:
            answer(getattr(service, name)(*args))
        except FAILURE as error:
            answer(type(error).__name__)
