"""The jobs of a small service that checks documents, declared once for both sides."""

import asyncio
from dataclasses import dataclass, field
from datetime import date

from housekeeping import housekeeping

from identtqueue import App, Context


@dataclass
class Services:
    """The common state of the jobs of a worker."""

    countries: dict[str, str] = field(default_factory=dict)


app = App("embedded", state=Services)  # or the address of a Redis: redis://localhost
app.include(housekeeping)


@app.on_startup
async def load(state: Services) -> None:
    """Load what jobs need, once for each worker, before its first task."""
    state.countries.update(UTO="Utopia", D="Germany", FIN="Finland")


@dataclass(frozen=True)
class Mrz:
    """The machine-readable zone of a passport."""

    number: str
    nationality: str
    born: date


# Each job has its queue, so that quick work never waits behind slow work.
@app.task(queue="mrz", timeout_seconds=30, max_retries=3)
async def read_mrz(ctx: Context[Services], line: str) -> Mrz:
    """Read the second line of the zone: number, nationality, date of birth."""
    await asyncio.sleep(0.1)  # stands for the real reading
    country = line[10:13].rstrip("<")
    return Mrz(
        number=line[0:9].rstrip("<"),
        nationality=ctx.state.countries.get(country, country),
        born=date(1900 + int(line[13:15]), int(line[15:17]), int(line[17:19])),
    )


@app.task(queue="mrz")
async def register(ctx: Context[Services], line: str, address: str) -> str:
    """Read a document and tell its holder, in a task of its own, once even after a retry."""
    mrz = await read_mrz(ctx, line)  # a direct call, in this task
    told = notify.options(task_id=ctx.follow_up_id("notify"))
    message = await told.enqueue(address, f"{mrz.number} is registered")
    return message.task_id


@app.task(queue="mail", max_retries=5)
async def notify(ctx: Context, address: str, text: str) -> str:
    """Send a message. Retries have the same task id, by which a mail service can refuse doubles."""
    ctx.logger.info("to %s (id %s): %s", address, ctx.task_id, text)
    return address
