"""Checks of passports, on taskiq. A worker: `taskiq worker jobs:broker`; the clock: `scheduler`."""

import os

from passports import documents, mrz, register
from taskiq import SmartRetryMiddleware, TaskiqScheduler
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

url = os.environ["REDIS_URL"]
broker = (
    RedisStreamBroker(url)
    .with_result_backend(RedisAsyncResultBackend(url, result_ex_time=3600))
    .with_middlewares(SmartRetryMiddleware(default_delay=0.2))
)
scheduler = TaskiqScheduler(broker, sources=[LabelScheduleSource(broker)])


@broker.task
async def check_mrz(document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


@broker.task(retry_on_error=True, max_retries=4)
def look_up(document: str) -> bool:
    return register.is_lost(documents.number(document))


@broker.task(schedule=[{"interval": 2}])
def forget_old_documents() -> None:
    documents.forget_older_than(30 * 24 * 3600)
