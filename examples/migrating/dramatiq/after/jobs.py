"""Checks of passports, on idenTTqueue. A worker: `identtqueue worker jobs`."""

from passports import documents, mrz, register

from identtqueue import App, Context, RetryPolicy

app = App()  # at IDENTTQUEUE_REDIS_ADDRESS
WHEN_BUSY = RetryPolicy(max_retries=3, first_delay_seconds=0.2, give_up_on=(KeyError,))


@app.task
def check_mrz(ctx: Context, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))


@app.task(retry=WHEN_BUSY)
def look_up(ctx: Context, document: str) -> bool:
    return register.is_lost(documents.number(document))


@app.task
def forget_old_documents(ctx: Context) -> None:
    documents.forget_older_than(30 * 24 * 3600)


app.cron("*/2 * * * * *", forget_old_documents)
