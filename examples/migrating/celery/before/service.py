"""The interface for the web application: submit a passport, see how far it is, read the report."""

from celery.exceptions import ChordError
from jobs import app, check_passport

STATES = {"PENDING": "waiting", "RETRY": "waiting", "STARTED": "working", "SUCCESS": "done"}


class CheckFailed(Exception):
    """A check of the passport has failed for good."""


def submit(document):
    """Enqueue all checks at once, and the report behind them."""
    check_passport(document).apply_async(task_id=f"{document}-report")


def status(document):
    """Return "waiting", "working", "done" or "failed"."""
    return STATES.get(app.AsyncResult(f"{document}-report").state, "failed")


def report(document, timeout_seconds):
    """Wait for the report."""
    try:
        return app.AsyncResult(f"{document}-report").get(timeout=timeout_seconds)
    except ChordError as error:
        raise CheckFailed(str(error)) from error
