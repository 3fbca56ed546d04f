"""The interface for the web application: submit a passport, see how far it is, read the report."""

from jobs import app, check_mrz, look_up, measure_page
from passports import documents

from identtqueue import State, TaskError


class CheckFailed(Exception):
    """A check of the passport has failed for good."""


def submit(document):
    """Enqueue all checks at once; the last one asks for the report."""
    app.enqueue_many_sync(
        [
            check_mrz.options(task_id=f"{document}-mrz").call(document),
            look_up.options(task_id=f"{document}-register").call(document),
            *(
                measure_page.options(task_id=f"{document}-{page}").call(document, page)
                for page in documents.pages(document)
            ),
        ]
    )


def status(document):
    """Return "waiting", "working", "done" or "failed"."""
    states = {app.sync_client.get_status(task_id) for task_id in checks(document)}
    if State.FAILED in states:
        return "failed"
    if states == {State.SUCCEEDED}:
        return "done" if documents.finding(document, "report") else "working"
    return "working" if State.RUNNING in states else "waiting"


def report(document, timeout_seconds):
    """Wait for the checks and then for the report, which the last check has asked for."""
    try:
        for end in app.sync_client.wait_many(checks(document), timeout_seconds):
            end.unwrap()
        return app.sync_client.wait_for_result(f"checks:{document}-report", timeout_seconds)
    except TaskError as error:
        raise CheckFailed(str(error)) from error


def checks(document):
    """Make the ids of a passport's checks: the queue, and what makes them unique in it."""
    return [f"checks:{document}-{name}" for name in documents.checks(document)]
