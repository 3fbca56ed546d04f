"""Checks of passports, on saq. A worker: `saq jobs.settings`."""

import asyncio
import os

from passports import documents, mrz, register
from saq import CronJob, Queue

queue = Queue.from_url(os.environ["REDIS_URL"], name="passports")


async def check_mrz(ctx, *, document):
    return mrz.wrong_digits(documents.mrz_line(document))


async def look_up(ctx, *, document):
    return await asyncio.to_thread(register.is_lost, documents.number(document))


async def forget_old_documents(ctx):
    documents.forget_older_than(30 * 24 * 3600)


settings = {
    "queue": queue,
    "functions": [check_mrz, look_up],
    "concurrency": 10,
    "cron_jobs": [CronJob(forget_old_documents, cron="* * * * * */2")],
}
