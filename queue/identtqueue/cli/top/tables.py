"""The tables of the screen: queues, workers, jobs, and the tasks that run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from identtqueue.admin import Counts, TaskRow
from identtqueue.cli.top import short
from identtqueue.cli.top.columns import Heading, Words, body, cut, fitting, head, widths
from identtqueue.cli.top.snapshot import JobLine, QueueLine, WorkerLine
from identtqueue.cli.top.view import TopView

LATE_MS: Final = 60_000
"""From here on, the wait of the oldest task stands out."""

_TIMES: Final = tuple(Heading(title, rank=2) for title in ("W50", "W95", "R50", "R95"))

QUEUES: Final = (
    Heading("QUEUE", 10, left=True, sort="name"),
    Heading("PEND", sort="pending"),
    Heading("HELD", rank=3, sort="held"),
    Heading("RUN", sort="running"),
    Heading("SCHD", rank=4, sort="scheduled"),
    Heading("DEAD", sort="dead"),
    Heading("OLD", sort="oldest"),
    Heading("IN/M", sort="in"),
    Heading("OK/M", sort="ok"),
    Heading("ERR", sort="failed"),
    *_TIMES,
    Heading("WRK", 3, rank=5),
)

WORKERS: Final = (
    Heading("POD OR HOST", 16, left=True),
    Heading("QUEUES", 10, rank=1, left=True),
    Heading("RUN", 7),
    Heading("STATE", 6, left=True),
    Heading("TASKS, THE OLDEST FIRST", 20, left=True),
)

JOBS: Final = (
    Heading("JOB", 16, left=True),
    Heading("LIMIT", 7, rank=3),
    Heading("HELD", rank=2),
    Heading("IN/M"),
    Heading("OK/M"),
    Heading("RTRY", rank=1),
    Heading("ERR"),
    *(Heading(title, rank=0) for title in ("W50", "W95", "R50", "R95")),
)


def queue_lines(lines: Sequence[QueueLine], view: TopView, chosen: int, columns: int) -> list[Text]:
    """Return the table of the queues: titles, then a line for each.

    Args:
        lines: the queues, sorted.
        view: for the sort.
        chosen: place of the queue that is chosen.
        columns: width of the terminal.
    """
    rows = [_queue(line) for line in lines]
    shown = fitting(QUEUES, columns)
    wide = widths(QUEUES, shown, rows, columns)
    found = [head(QUEUES, shown, wide, view.sort)]
    for place, (line, words) in enumerate(zip(lines, rows, strict=True)):
        style, row = "warn" if line.depth.paused else "", words
        if place == chosen:  # in reverse, colours would hide what they stand for
            style, row = "chosen", [(text, "") for text, _ in row]
        found.append(body(QUEUES, shown, wide, row, style))
    return found


def _queue(line: QueueLine) -> list[Words]:
    depth = line.depth
    late = (depth.oldest_wait_ms or 0) > LATE_MS
    return [
        (f"‖ {line.name}" if depth.paused else line.name, "name"),
        (short.number(depth.queued), ""),
        (short.number(depth.held), "warn" if depth.held else "quiet"),
        (short.number(depth.in_flight), ""),
        (short.number(depth.scheduled), "" if depth.scheduled else "quiet"),
        (short.number(depth.dead), "bad" if depth.dead else "quiet"),
        (short.duration(depth.oldest_wait_ms), "bad" if late else ""),
        (short.number(line.enqueued), ""),
        (short.number(line.succeeded), "good" if line.succeeded else ""),
        (short.number(line.failed), "bad" if line.failed else "quiet"),
        *_quantiles(line.lately),
        (short.number(depth.workers), "" if depth.workers or not depth.queued else "bad"),
    ]


def _quantiles(counts: Counts | None) -> Iterator[Words]:
    for histogram in () if counts is None else (counts.waited, counts.ran):
        for part in (0.5, 0.95):
            seconds = histogram.quantile(part)
            yield short.duration(None if seconds is None else seconds * 1000), ""
    if counts is None:
        yield from [(short.NONE, "quiet")] * 4


def worker_lines(workers: Sequence[WorkerLine], columns: int, now_ms: int) -> list[Text]:
    """Return the table of the workers, each with its tasks in one line.

    Args:
        workers: the workers.
        columns: width of the terminal.
        now_ms: Redis' time, in ms since 1970.
    """
    rows = [[*_worker(worker), (_tasks(worker, now_ms), "")] for worker in workers]
    shown = fitting(WORKERS, columns)
    wide = widths(WORKERS, shown, rows, columns)
    return [head(WORKERS, shown, wide, ""), *(body(WORKERS, shown, wide, row) for row in rows)]


def _worker(worker: WorkerLine) -> list[Words]:
    info = worker.info
    state, style = "ok", "good"
    if not info.connected:
        state, style = "silent", "bad"
    elif worker.draining:
        state, style = "drains", "warn"
    return [
        (info.pod_name or info.worker_id, "name"),  # a host may have several
        (", ".join(worker.queues), ""),
        (f"{worker.running}/{info.concurrency}", ""),
        (state, style),
    ]


def _tasks(worker: WorkerLine, now_ms: int) -> str:
    words = [f"{task.job} {_ran(task, now_ms)}" for task in worker.tasks]
    if more := worker.running - len(worker.tasks):
        words.append(f"+{more}" if more > 0 else "")
    return ", ".join(word for word in words if word)


def _ran(task: TaskRow, now_ms: int) -> str:
    return short.duration(None if task.started_at_ms is None else now_ms - task.started_at_ms)


def job_lines(jobs: Sequence[JobLine], columns: int) -> list[Text]:
    """Return the table of the jobs of one queue.

    Args:
        jobs: the jobs.
        columns: width of the terminal.
    """
    if not jobs:
        return [Text(" no job was declared or enqueued lately", "quiet")]
    rows = [_job(job) for job in jobs]
    shown = fitting(JOBS, columns)
    wide = widths(JOBS, shown, rows, columns)
    return [head(JOBS, shown, wide, ""), *(body(JOBS, shown, wide, row) for row in rows)]


def _job(job: JobLine) -> list[Words]:
    limits, counts = job.limits, job.lately
    most = limits.limits.max_running if limits else None
    paused = bool(job.info and job.info.paused)
    return [
        (f"‖ {job.name}" if paused else job.name, "warn" if paused else "name"),
        (f"{limits.running}/{most}" if limits and most is not None else short.NONE, ""),
        (short.number(limits.held if limits else 0), "warn" if limits and limits.held else "quiet"),
        (short.number(counts.enqueued / job.minutes), ""),
        (short.number(counts.succeeded / job.minutes), "good" if counts.succeeded else ""),
        (short.number(counts.retried / job.minutes), "warn" if counts.retried else "quiet"),
        (short.number(counts.failed / job.minutes), "bad" if counts.failed else "quiet"),
        *_quantiles(counts),
    ]


def task_lines(workers: Sequence[WorkerLine], queue: str, columns: int, now_ms: int) -> list[Text]:
    """Return the workers of one queue, each with a line for each of its tasks.

    Args:
        workers: the workers.
        queue: name of the queue.
        columns: width of the terminal.
        now_ms: Redis' time, in ms since 1970.
    """
    if not workers:
        return [Text(" no worker", "bad")]
    found = []
    for worker in workers:
        (name, _), _, (running, _), (state, style) = _worker(worker)
        line = Text(no_wrap=True)
        line.append(name, "name")
        line.append(f"  {running}  ")
        line.append(state, style)
        line.append(f"  {worker.info.worker_id}  {worker.info.version}", "quiet")
        found.append(line)
        tasks = [task for task in worker.tasks if task.queue == queue]
        for task in tasks:
            ran = f"{_ran(task, now_ms):>5}"
            attempt = f"  attempt {task.attempt}" if task.attempt > 1 else ""
            text = f"  {ran}  {cut(task.job, 24, left=True)}  {task.task_id}{attempt}"
            found.append(Text(cut(text, columns, left=True)))
    return found
