"""Checks of passports, on idenTTqueue. A worker: `identtqueue worker jobs`."""

from passports import documents, mrz, register

from identtqueue import App, Context, RetryPolicy

app = App(default_queue="passports")  # at IDENTTQUEUE_REDIS_ADDRESS


@app.task(timeout_seconds=10)
async def check_mrz(ctx: Context, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


@app.task(timeout_seconds=30, retry=RetryPolicy(max_retries=3, first_delay_seconds=0.2))
def look_up(ctx: Context, document: str) -> bool:
    return register.is_lost(documents.number(document))


@app.task
def forget_old_documents(ctx: Context) -> None:
    documents.forget_older_than(30 * 24 * 3600)


app.cron("*/2 * * * * *", forget_old_documents)  # the seconds come first
