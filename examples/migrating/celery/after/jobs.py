"""The jobs of the passport service, on idenTTqueue. A worker: `identtqueue worker jobs`."""

from passports import documents, images, mrz, register, reports

from identtqueue import App, Context, RetryPolicy

app = App()  # at IDENTTQUEUE_REDIS_ADDRESS
RETENTION_SECONDS = 30 * 24 * 3600
WHEN_BUSY = RetryPolicy(max_retries=3, first_delay_seconds=0.2, retry_on=(register.RegisterBusy,))


@app.task(queue="checks")  # a plain function: it runs in a thread
def check_mrz(ctx: Context, document: str) -> None:
    found(document, "mrz", mrz.wrong_digits(documents.mrz_line(document)))


@app.task(queue="register", retry=WHEN_BUSY)
def look_up(ctx: Context, document: str) -> None:
    found(document, "register", register.is_lost(documents.number(document)))


@app.task(queue="pages", timeout_seconds=60)
def measure_page(ctx: Context, document: str, page: str) -> None:
    found(document, page, images.sharpness(documents.page(document, page)))


def found(document: str, name: str, finding: object) -> None:
    """Save a finding. The job that saves a passport's last one asks for the report.

    If two jobs are last at the same time, both ask, under one id: that makes one task. So does a
    job that runs again because its worker was lost.
    """
    documents.save(document, name, finding)
    if documents.is_complete(document):
        write_report.options(task_id=document).enqueue_sync(document)


@app.task(queue="reports")
def write_report(ctx: Context, document: str) -> reports.Report:
    wrong, lost, *sharpness = (
        documents.finding(document, name) for name in documents.checks(document)
    )
    report = reports.write(document, wrong, lost, sharpness)
    documents.save(document, "report", report)
    return report


@app.task(queue="housekeeping")
def forget_old_documents(ctx: Context) -> list[str]:
    return documents.forget_older_than(RETENTION_SECONDS)


app.cron("*/2 * * * * *", forget_old_documents)
