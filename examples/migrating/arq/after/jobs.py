"""The jobs of the passport service, on idenTTqueue. A worker: `identtqueue worker jobs`."""

from passports import documents, images, mrz, register

from identtqueue import App, Context, RetryPolicy

app = App()  # at IDENTTQUEUE_REDIS_ADDRESS
RETENTION_SECONDS = 30 * 24 * 3600
WHEN_BUSY = RetryPolicy(max_retries=3, first_delay_seconds=0.2, retry_on=(register.RegisterBusy,))


@app.task(queue="checks")
async def check_mrz(ctx: Context, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


@app.task(queue="register", retry=WHEN_BUSY)
def look_up(ctx: Context, document: str) -> bool:  # a plain function: it runs in a thread
    return register.is_lost(documents.number(document))


@app.task(queue="pages", run_in="process", timeout_seconds=60)
def measure_page(ctx: Context, document: str, page: str) -> float:
    return images.sharpness(documents.page(document, page))


@app.task(queue="housekeeping")
def forget_old_documents(ctx: Context) -> list[str]:
    return documents.forget_older_than(RETENTION_SECONDS)


app.cron("*/2 * * * * *", forget_old_documents)
