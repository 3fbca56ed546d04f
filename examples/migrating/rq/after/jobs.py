"""The jobs of the passport service, on idenTTqueue. A worker: `identtqueue worker jobs`."""

from functools import partial

from passports import documents, images, mrz, register, reports

from identtqueue import App, Context, RetryPolicy

app = App(default_queue="checks")  # at IDENTTQUEUE_REDIS_ADDRESS
job = partial(app.task, run_in="process")  # in a process that can be killed, as with RQ
RETENTION_SECONDS = 30 * 24 * 3600


@job()
def check_mrz(ctx: Context, document: str) -> None:
    found(document, "mrz", mrz.wrong_digits(documents.mrz_line(document)))


@job(retry=RetryPolicy(max_retries=3, first_delay_seconds=0.1))
def look_up(ctx: Context, document: str) -> None:
    found(document, "register", register.is_lost(documents.number(document)))


@job(timeout_seconds=60)
def measure_page(ctx: Context, document: str, page: str) -> None:
    found(document, page, images.sharpness(documents.page(document, page)))


def found(document: str, name: str, finding: object) -> None:
    """Save a finding. The job that saves a passport's last one asks for the report.

    If two jobs are last at the same time, both ask, under one id: that makes one task. So does a
    job that runs again because its worker was lost.
    """
    documents.save(document, name, finding)
    if documents.is_complete(document):
        write_report.options(task_id=f"{document}-report").enqueue_sync(document)


@job()
def write_report(ctx: Context, document: str) -> reports.Report:
    findings = (documents.finding(document, name) for name in documents.checks(document))
    wrong, lost, *sharpness = findings
    report = reports.write(document, wrong, lost, sharpness)
    documents.save(document, "report", report)
    return report


@job()
def forget_old_documents(ctx: Context) -> list[str]:
    return documents.forget_older_than(RETENTION_SECONDS)


app.cron("*/2 * * * * *", forget_old_documents)
