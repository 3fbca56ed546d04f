"""The jobs of the passport service, on RQ: `rq worker checks`, `rq cron clock`."""

import os

from passports import documents, images, mrz, register, reports
from redis import Redis
from rq.job import Job

redis = Redis.from_url(os.environ["REDIS_URL"])
RETENTION_SECONDS = 30 * 24 * 3600


def check_mrz(document):
    return mrz.wrong_digits(documents.mrz_line(document))


def look_up(document):
    return register.is_lost(documents.number(document))


def measure_page(document, page):
    return images.sharpness(documents.page(document, page))


def write_report(document):
    checks = [f"{document}-{name}" for name in documents.checks(document)]
    findings = (job.return_value() for job in Job.fetch_many(checks, connection=redis))
    wrong, lost, *sharpness = findings
    report = reports.write(document, wrong, lost, sharpness)
    documents.save(document, "report", report)
    return report


def forget_old_documents():
    return documents.forget_older_than(RETENTION_SECONDS)
