"""One snapshot as plain tables, for a pipe or a file."""

from __future__ import annotations

import click

from identtqueue.cli.display.table import Column, Table
from identtqueue.cli.top import short
from identtqueue.cli.top.snapshot import QueueLine, TopSnapshot
from identtqueue.cli.top.view import TopView


def show_once(snapshot: TopSnapshot, view: TopView) -> None:
    """Print the queues and the workers.

    Args:
        snapshot: what was read.
        view: the sort and the filter.
    """
    titles = [
        *("pending", "held", "running", "scheduled", "dead", "oldest"),
        *("in/min", "ok/min", "failed/min"),
        *("wait p50", "wait p95", "run p50", "run p95", "workers"),
    ]
    queues = Table("queue", *(Column(title, right=True) for title in titles), "state")
    for line in view.lines(snapshot):
        queues.add(line.name, *_numbers(line), "paused" if line.depth.paused else "open")
    queues.show()
    if not (shown := view.workers(snapshot)):
        return
    click.echo()
    workers = Table("worker", "pod or host", "queues", Column("running", right=True), "tasks")
    for worker in shown:
        workers.add(
            worker.info.worker_id,
            worker.info.pod_name or worker.info.host,
            ", ".join(worker.queues),
            f"{worker.running}/{worker.info.concurrency}",
            ", ".join(
                f"{task.job} {short.duration(snapshot.now_ms - (task.started_at_ms or 0))}"
                for task in worker.tasks
            ),
        )
    workers.show()


def _numbers(line: QueueLine) -> list[int | str | None]:
    depth = line.depth
    found: list[int | str | None] = [depth.queued, depth.held, depth.in_flight, depth.scheduled]
    found += [depth.dead, short.duration(depth.oldest_wait_ms)]
    found += [short.number(rate) for rate in (line.enqueued, line.succeeded, line.failed)]
    for histogram in () if line.lately is None else (line.lately.waited, line.lately.ran):
        for part in (0.5, 0.95):
            seconds = histogram.quantile(part)
            found.append(short.duration(None if seconds is None else seconds * 1000))
    if line.lately is None:
        found += [None] * 4
    return [*found, depth.workers]
