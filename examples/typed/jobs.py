"""The jobs of a small service that checks documents, declared once for both sides."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import date

from identtqueue import App, Context

app = App("embedded")  # or the address of a Redis: redis://localhost


@dataclass(frozen=True)
class Mrz:
    """The machine-readable zone of a passport."""

    number: str
    nationality: str
    born: date


# Each job has its queue, so that quick work never waits behind slow work.
@app.task(queue="mrz", timeout_seconds=30, max_retries=3)
async def read_mrz(ctx: Context, line: str) -> Mrz:
    """Read the second line of the zone: number, nationality, date of birth."""
    await asyncio.sleep(0.1)  # stands for the real reading
    return Mrz(
        number=line[0:9].rstrip("<"),
        nationality=line[10:13].rstrip("<"),
        born=date(1900 + int(line[13:15]), int(line[15:17]), int(line[17:19])),
    )


@app.task(queue="mail", max_retries=5)
async def notify(ctx: Context, address: str, text: str) -> None:
    """Send a message. Retries have the same task id, by which a mail service can refuse doubles."""
    ctx.logger.info("to %s (id %s): %s", address, ctx.task_id, text)


@app.task(queue="housekeeping")
def forget_old_documents(ctx: Context) -> int:
    """Delete old documents. As a plain function, it runs in a thread and may block."""
    logging.getLogger(__name__).info("looking for documents that may be forgotten")
    return 0


# Every worker keeps the schedule. Each tick is one task nevertheless.
app.cron("* * * * *", forget_old_documents)
