"""The old jobs, on arq. Their worker runs until nothing is left: `arq old_jobs.WorkerSettings`."""

import os

from arq.connections import RedisSettings
from passports import documents, mrz

REDIS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def check_mrz(ctx: dict, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


class WorkerSettings:
    functions = (check_mrz,)
    redis_settings = REDIS
