"""The interface for the web application: submit a passport, see how far it is, read the report."""

from jobs import check_mrz, look_up, measure_page, redis, write_report
from passports import documents
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.results import Result

queue = Queue("checks", connection=redis)
REPORT_TTL_SECONDS = 3600


class CheckFailed(Exception):
    """A check of the passport has failed for good."""


def submit(document):
    """Enqueue all checks at once, and the report behind them."""

    def enqueue(function, name, *args, **options):
        options |= {"job_id": f"{document}-{name}", "result_ttl": REPORT_TTL_SECONDS}
        return queue.enqueue(function, document, *args, **options)

    parts = [
        enqueue(check_mrz, "mrz"),
        enqueue(look_up, "register", retry=Retry(max=3)),
        *(enqueue(measure_page, page, page, job_timeout=60) for page in documents.pages(document)),
    ]
    enqueue(write_report, "report", depends_on=parts)


def status(document):
    """Return "waiting", "working", "done" or "failed"."""
    states = {job.get_status() for job in jobs(document)}
    if JobStatus.FAILED in states:  # the report itself would stay deferred for ever
        return "failed"
    if states == {JobStatus.FINISHED}:
        return "done"
    return "working" if JobStatus.STARTED in states else "waiting"


def report(document, timeout_seconds):
    """Wait for the checks and then for the report."""
    for job in jobs(document):
        result = job.latest_result(timeout=timeout_seconds)
        if result is None:
            raise TimeoutError(document)
        if result.type is not Result.Type.SUCCESSFUL:
            raise CheckFailed(result.exc_string)
    return result.return_value


def jobs(document):
    """Find the jobs of a passport: its checks, then its report."""
    names = [*documents.checks(document), "report"]
    return Job.fetch_many([f"{document}-{name}" for name in names], connection=redis)
