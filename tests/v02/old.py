"""A client and a worker of identtqueue 0.2, made by hand from its wire format."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import redis.asyncio

from testing.waiting import LONG_SECONDS

ENQUEUED, PROCESSING, FINISHED = 0, 1, 2
SUCCESS, EXCEPTION, WORKER_TIMEOUT = 0, 1, 2

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class OldClient:
    """The steps of a client of 0.2 in Redis."""

    def __init__(self, port: int) -> None:
        self.redis = redis.asyncio.Redis(port=port)

    async def push(self, queue: str, job: str, *args: Any, **kwargs: Any) -> str:
        task_id = str(uuid.uuid4())
        seconds, micros = await self.redis.time()
        request = {
            "task_id": task_id,
            "function_name": job,
            "args": args,
            "kwargs": kwargs,
            "enqueue_time": seconds + micros / 1_000_000,
        }
        await self.redis.set(f"{task_id}-status", pack({"status": ENQUEUED, "data": {}}), ex=86_400)
        await self.redis.rpush(queue, pack(request))
        return task_id

    async def result(self, task_id: str) -> dict[str, Any]:
        found = await self.redis.blpop([f"{task_id}-result"], timeout=LONG_SECONDS)
        assert found is not None, f"{task_id} has no result"
        return unpack(found[1])

    async def status(self, task_id: str) -> dict[str, Any] | None:
        data = await self.redis.get(f"{task_id}-status")
        return None if data is None else unpack(data)


class OldWorker:
    """The steps of a worker of 0.2 in Redis, one after the other."""

    def __init__(self, port: int, queue: str) -> None:
        self.redis = redis.asyncio.Redis(port=port)
        self.queue = queue

    async def take(self) -> dict[str, Any]:
        """Take a request. From now on only this worker has it."""
        found = await self.redis.blpop([self.queue], timeout=LONG_SECONDS)
        assert found is not None, "there is no request"
        return unpack(found[1])

    async def begin(self, request: Mapping[str, Any], **data: Any) -> None:
        status = {"status": PROCESSING, "data": data}
        await self.redis.set(f"{request['task_id']}-status", pack(status), ex=86_400)

    async def end(self, request: Mapping[str, Any], message: Any, kind: int = SUCCESS) -> None:
        task_id = request["task_id"]
        await self.redis.rpush(f"{task_id}-result", pack({"type": kind, "message": message}))
        await self.redis.set(f"{task_id}-status", pack({"status": FINISHED, "data": {}}), ex=86_400)

    async def serve(self) -> None:
        """Answer each request with the name of its job and its arguments."""
        while True:
            request = await self.take()
            await self.begin(request)
            await self.end(request, [request["function_name"], request["args"], request["kwargs"]])
            await asyncio.sleep(0)
