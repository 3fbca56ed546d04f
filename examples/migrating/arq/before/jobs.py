"""The jobs of the passport service, on arq. A worker: `arq jobs.WorkerSettings`."""

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor

from arq import Retry, cron, func
from arq.connections import RedisSettings
from passports import documents, images, mrz, register

REDIS = RedisSettings.from_dsn(os.environ["REDIS_URL"])
RETENTION_SECONDS = 30 * 24 * 3600


async def check_mrz(ctx: dict, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


async def look_up(ctx: dict, document: str) -> bool:
    try:
        return await asyncio.to_thread(register.is_lost, documents.number(document))
    except register.RegisterBusy as busy:
        raise Retry(defer=0.2 * ctx["job_try"]) from busy


async def measure_page(ctx: dict, document: str, page: str) -> float:
    loop = asyncio.get_running_loop()
    path = documents.page(document, page)
    return await loop.run_in_executor(ctx["processes"], images.sharpness, path)


async def forget_old_documents(ctx: dict) -> list[str]:
    return documents.forget_older_than(RETENTION_SECONDS)


async def startup(ctx: dict) -> None:
    ctx["processes"] = ProcessPoolExecutor(max_workers=2)


async def shutdown(ctx: dict) -> None:
    ctx["processes"].shutdown()


class WorkerSettings:
    functions = (check_mrz, func(look_up, max_tries=4), func(measure_page, timeout=60))
    cron_jobs = (cron(forget_old_documents, second=set(range(0, 60, 2))),)
    on_startup = startup
    on_shutdown = shutdown
    redis_settings = REDIS
