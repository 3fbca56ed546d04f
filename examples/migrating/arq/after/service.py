"""The interface for the web application: submit a passport, see how far it is, read the report."""

from typing import Self

from jobs import app, check_mrz, look_up, measure_page
from passports import documents, reports

from identtqueue import State, TaskError


class CheckFailed(Exception):
    """A check of the passport has failed for good."""


class Passports:
    async def __aenter__(self) -> Self:
        await app.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await app.close()

    async def submit(self, document: str) -> None:
        """Enqueue all checks at once. Submitted again, a passport is not checked twice."""
        mrz_id, register_id, *page_ids = self._checks(document)
        await app.enqueue_many(
            [
                check_mrz.options(task_id=mrz_id).call(document),
                look_up.options(task_id=register_id).call(document),
                *(
                    measure_page.options(task_id=page_id).call(document, page)
                    for page_id, page in zip(page_ids, documents.pages(document), strict=True)
                ),
            ]
        )

    async def status(self, document: str) -> str:
        """Return "waiting", "working", "done" or "failed"."""
        states = {await app.client.get_status(task_id) for task_id in self._checks(document)}
        if State.FAILED in states:
            return "failed"
        if states == {State.SUCCEEDED}:
            return "done"
        return "working" if State.RUNNING in states else "waiting"

    async def report(self, document: str, timeout_seconds: float) -> reports.Report:
        """Wait for all checks, and combine what they have found."""
        ends = await app.client.wait_many(self._checks(document), timeout_seconds)
        try:
            wrong, lost, *sharpness = (end.unwrap() for end in ends)
        except TaskError as error:
            raise CheckFailed(str(error)) from error
        return reports.write(document, wrong, lost, sharpness)

    def _checks(self, document: str) -> list[str]:
        """Make the ids of a passport's tasks: the queue, and what makes them unique."""
        pages = (f"pages:{document}-{page}" for page in documents.pages(document))
        return [f"checks:{document}", f"register:{document}", *pages]
