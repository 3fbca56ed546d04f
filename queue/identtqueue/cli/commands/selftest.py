"""`identtqueue selftest`: send one task through an installation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from identtqueue.cli.display.times import duration
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue.cli.session import run
from identtqueue.errors import ResultTimeout

if TYPE_CHECKING:
    from identtqueue.admin import Admin

WORD: Final = "hello"
"""The value that is sent, and has to come back."""


@click.command()
@click.option(
    "--queue",
    default="selftest",
    envvar="IDENTTQUEUE_SELFTEST_QUEUE",
    show_envvar=True,
    help="Queue of the worker.",
)
@click.option("--timeout-seconds", default=60.0, help="How long to wait for the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@click.pass_obj
def selftest(address: str, queue: str, timeout_seconds: float, as_json: bool) -> None:
    """Enqueue one task for a worker of `identtqueue.selftest:app` and await its result.

    The exit code is 0 only if the result has come and is right.
    """
    run(_prove(address, queue, timeout_seconds, as_json=as_json))


async def _prove(address: str, queue: str, timeout_seconds: float, *, as_json: bool) -> None:
    # Redis is loaded only by commands that ask it.
    from identtqueue.admin import Admin  # noqa: PLC0415
    from identtqueue.client.client import Client  # noqa: PLC0415

    steps = _Steps(as_json=as_json)
    async with Admin(address) as admin, Client(address) as client:
        about = await admin.server()
        server = f"{about.name} {about.version}"
        steps.done("connected", server, server=server)
        task_id = await client.enqueue_job(queue, "echo", WORD)
        steps.done("enqueued", task_id, task_id=task_id)
        try:
            answer = await client.wait_for_result(task_id, timeout_seconds)
        except ResultTimeout as error:
            await client.cancel(task_id)  # nobody waits for it any more
            text = f"no result of task {task_id} after {timeout_seconds:g} s, so it was cancelled: "
            raise CommandFailed(text + await _why(admin, queue), Exit.LATE) from error
        steps.done("returned", repr(answer))
        info = await client.get_task(task_id)
    if answer != WORD or info is None or info.started_at_ms is None:
        raise CommandFailed(f"{task_id} returned {answer!r} instead of {WORD!r}")
    waited_ms = info.started_at_ms - info.enqueued_at_ms
    steps.note("waited", duration(waited_ms), waited_ms=waited_ms)
    steps.note("ran on", info.owner or "", worker=info.owner)
    steps.end()


async def _why(admin: Admin, queue: str) -> str:
    """Say why probably no result has come, and what to do about it."""
    depth = (await admin.depths([queue]))[queue]
    workers = await admin.workers(queue)
    if not workers:
        return (
            f"no worker is registered on queue {queue}. Start one: `identtqueue worker "
            f"identtqueue.selftest:app --queue {queue}`"
        )
    if depth.paused:
        return f"queue {queue} is paused. Resume it: `identtqueue resume {queue}`"
    if all(worker.draining for worker in workers):
        return f"all workers of queue {queue} drain, and take no tasks"
    return (
        f"queue {queue} has {len(workers)} workers, {depth.in_flight} tasks run and "
        f"{depth.queued} wait. Do its workers run identtqueue.selftest:app?"
    )


class _Steps:
    """The steps of the test that were done, and how long each took. They are printed at the end.

    Args:
        as_json: print one line of JSON, instead of a line for each step.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._row: dict[str, object] = {}
        self._lines: list[str] = []
        self._last = time.perf_counter()

    def done(self, what: str, text: str, **values: object) -> None:
        """Note a step that took the time since the last one."""
        took_ms = round((time.perf_counter() - self._last) * 1000, 1)
        self._row[f"{what}_ms"] = took_ms
        self.note(what, f"{text}  ({duration(took_ms)})", **values)
        self._last = time.perf_counter()

    def note(self, what: str, text: str, **values: object) -> None:
        """Note something that is known of the task."""
        self._row |= values
        self._lines.append(f"{what:<10} {text}")

    def end(self) -> None:
        """Print the steps, and that all is well."""
        if self._as_json:
            show_json({"ok": True, **self._row})
        else:
            click.echo("\n".join([*self._lines, "The installation works."]))
