"""The same jobs on idenTTqueue. A worker: `identtqueue worker jobs`."""

from passports import documents, mrz

from identtqueue import App, Context

app = App()  # at IDENTTQUEUE_REDIS_ADDRESS


@app.task(queue="checks")
async def check_mrz(ctx: Context, document: str) -> list[str]:
    return mrz.wrong_digits(documents.mrz_line(document))
