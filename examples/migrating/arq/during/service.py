"""The interface for the web application while both queues are there."""

import os
from typing import Self
from zlib import crc32

from arq import create_pool
from arq.jobs import Job
from jobs import app, check_mrz
from old_jobs import REDIS

MOVED_PERCENT = int(os.environ["MOVED_PERCENT"])  # 0: all passports take the old way


def moves(document: str) -> bool:
    """Return whether a passport takes the new way: a share of them, and always the same ones."""
    return crc32(document.encode()) % 100 < MOVED_PERCENT


class Passports:
    async def __aenter__(self) -> Self:
        self.redis = await create_pool(REDIS)
        await app.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await app.close()
        await self.redis.aclose()

    async def submit(self, document: str) -> None:
        if moves(document):
            await check_mrz.options(task_id=document).enqueue(document)
        else:
            await self.redis.enqueue_job("check_mrz", document, _job_id=document)

    async def report(self, document: str, timeout_seconds: float) -> list[str]:
        """Wait where the task is, whatever the setting says by now."""
        task_id = f"checks:{document}"
        if await app.client.get_status(task_id) is not None:
            return await app.client.wait_for_result(task_id, timeout_seconds)
        return await Job(document, self.redis).result(timeout_seconds, poll_delay=0.1)
