"""The interface for the web application: submit a passport, see how far it is, read the report."""

import asyncio
from typing import Self

from arq import create_pool
from arq.jobs import Job, JobStatus
from jobs import REDIS
from passports import documents, reports


class CheckFailed(Exception):
    """A check of the passport has failed for good."""


class Passports:
    async def __aenter__(self) -> Self:
        self.redis = await create_pool(REDIS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.aclose()

    async def submit(self, document: str) -> None:
        """Enqueue all checks at once. Submitted again, a passport is not checked twice."""
        await self.redis.enqueue_job("check_mrz", document, _job_id=f"{document}-mrz")
        await self.redis.enqueue_job("look_up", document, _job_id=f"{document}-register")
        for page in documents.pages(document):
            await self.redis.enqueue_job(
                "measure_page", document, page, _job_id=f"{document}-{page}"
            )

    async def status(self, document: str) -> str:
        """Return "waiting", "working", "done" or "failed"."""
        checks = self._checks(document)
        ends = await asyncio.gather(*(check.result_info() for check in checks))
        if any(end and not end.success for end in ends):
            return "failed"
        if all(ends):
            return "done"
        states = await asyncio.gather(*(check.status() for check in checks))
        return "working" if JobStatus.in_progress in states else "waiting"

    async def report(self, document: str, timeout_seconds: float) -> reports.Report:
        """Wait for all checks, and combine what they have found."""
        checks = self._checks(document)
        try:
            wrong, lost, *sharpness = await asyncio.gather(
                *(check.result(timeout_seconds, poll_delay=0.1) for check in checks)
            )
        except RuntimeError as error:  # arq raises what the job raised
            raise CheckFailed(str(error)) from error
        return reports.write(document, wrong, lost, sharpness)

    def _checks(self, document: str) -> list[Job]:
        return [Job(f"{document}-{name}", self.redis) for name in documents.checks(document)]
