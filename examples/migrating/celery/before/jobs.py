"""The tasks of the passport service, on Celery: `celery -A jobs worker`, `celery -A jobs beat`."""

import os

from celery import Celery, chord
from passports import documents, images, mrz, register, reports

app = Celery("passports", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    result_expires=3600,
    beat_schedule={"forget": {"task": "jobs.forget_old_documents", "schedule": 2.0}},
)
RETENTION_SECONDS = 30 * 24 * 3600


@app.task
def check_mrz(document):
    return mrz.wrong_digits(documents.mrz_line(document))


@app.task(autoretry_for=(register.RegisterBusy,), max_retries=3, default_retry_delay=0.2)
def look_up(document):
    return register.is_lost(documents.number(document))


@app.task(time_limit=60)
def measure_page(document, page):
    return images.sharpness(documents.page(document, page))


@app.task
def write_report(findings, document):
    wrong, lost, *sharpness = findings
    report = reports.write(document, wrong, lost, sharpness)
    documents.save(document, "report", report)
    return report


@app.task
def forget_old_documents():
    return documents.forget_older_than(RETENTION_SECONDS)


def check_passport(document):
    """All checks of a passport side by side, then the report."""
    pages = (measure_page.s(document, page) for page in documents.pages(document))
    return chord([check_mrz.s(document), look_up.s(document), *pages], write_report.s(document))
