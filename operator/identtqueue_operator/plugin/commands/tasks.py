"""`kubectl tq tasks` and `kubectl tq task`: lists of tasks, and one task whole."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from identtqueue.cli.display.sheet import Sheet
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import Clock, duration
from identtqueue.cli.display.values import show_json
from identtqueue_operator.plugin.filtering import STATES, filter_options
from identtqueue_operator.plugin.gateway_client import GatewayClient, gateway
from identtqueue_operator.plugin.kubectl import Json, Kubectl
from identtqueue_operator.plugin.options import account_option, cluster_options, json_option
from identtqueue_operator.plugin.task_queues import (
    NamedQueue,
    chosen_queues,
    find_by_task,
    find_one,
    name_of,
)

LARGEST_PAGE: Final = 200
"""Most tasks of one answer of the gateway."""
LONGEST_VALUE: Final = 4_000
"""Most characters of arguments or a result in the text form."""


@click.command()
@click.argument("name", required=False)
@click.option("--queue", default="", help="Only this queue of the TaskQueue.")
@click.option(
    "--state", type=click.Choice(STATES), default="pending", show_default=True, help="Which tasks."
)
@filter_options
@click.option("--limit", default=50, show_default=True, help="Most tasks of each queue.")
@click.option("--oldest", is_flag=True, help="The oldest first.")
@json_option
@account_option
@cluster_options()
def tasks(
    kubectl: Kubectl,
    name: str | None,
    *,
    queue: str,
    state: str,
    words: dict[str, str],
    limit: int,
    oldest: bool,
    as_json: bool,
    service_account: str,
) -> None:
    """List the tasks of a TaskQueue in one state."""
    body = find_one(kubectl, name)
    words = {**words, "state": state, "order": "oldest" if oldest else "newest"}
    with gateway(kubectl, body, service_account) as asked:
        for each in chosen_queues(body, queue):
            listed = _Listed(asked, name_of(body), each, words, limit)
            rows = list(listed.rows())
            if as_json:
                for row in rows:
                    show_json(row)
            else:
                _show(rows, listed, state)


class _Listed:
    """The tasks of one queue, read page by page.

    Attributes:
        total: how many tasks the list has, whatever the filter.
        more: whether there may be more tasks than were asked for.
    """

    def __init__(
        self, asked: GatewayClient, name: str, queue: NamedQueue, words: Json, limit: int
    ) -> None:
        self.queue = queue
        self.total = 0
        self.more = False
        self._asked = asked
        self._name = name
        self._words = words | {"queue": queue.name, "trigger": queue.trigger}
        self._limit = limit

    def rows(self) -> Iterator[Json]:
        """Yield at most so many tasks as the limit says."""
        left, cursor = self._limit, ""
        while left > 0:
            words = self._words | {"limit": min(left, LARGEST_PAGE), "cursor": cursor}
            page = self._asked.get(self._name, "tasks", words)
            self.total = page["total"]
            yield from page["tasks"]
            left -= len(page["tasks"])
            cursor = page["cursor"]
            if not cursor:
                return
        self.more = True


def _show(rows: list[Json], listed: _Listed, state: str) -> None:
    where = f"queue {listed.queue.name}"
    if not rows:
        every = "no" if not listed.total else f"none of {listed.total:,}"
        click.echo(f"{where}: {every} {state} task{'' if listed.total == 1 else 's'} match")
        return
    clock = Clock(int(time.time() * 1000))
    table = Table(
        "id", "job", Column("attempt", right=True), "since", "worker", Column("error", shrinks=True)
    )
    for row in rows:
        error = row.get("error")
        table.add(
            Styled(row["task_id"], "name"),
            row["job"],
            row["attempt"],
            clock.moment(row["since_ms"]),
            row.get("worker"),
            Styled(error, "bad") if error else None,
        )
    table.show()
    if listed.more:
        click.echo(f"{where}: {len(rows):,} of {listed.total:,} {state} tasks; --limit shows more")


# --- one task ---


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--taskqueue", help="The TaskQueue, if several have the queue of the task.")
@json_option
@account_option
@cluster_options()
def task(
    kubectl: Kubectl, task_id: str, *, taskqueue: str | None, as_json: bool, service_account: str
) -> None:
    """Show all that is known of a task: arguments, result, error, and every attempt."""
    body = find_by_task(kubectl, task_id, taskqueue)
    with gateway(kubectl, body, service_account) as asked:
        record = asked.get(name_of(body), f"tasks/{task_id}")["task"]
    if as_json:
        show_json(record)
    else:
        _sheet(record).show()


def _sheet(record: Json) -> Sheet:
    info, clock = record["info"], Clock(int(time.time() * 1000))
    sheet = Sheet()
    sheet.line(Styled(info["task_id"], "name"))
    sheet.field("job", info["function_name"])
    sheet.field("state", info["state"])
    sheet.field("arguments", _arguments(record))
    sheet.field("tags", ", ".join(record.get("tags") or ()) or None)
    sheet.field("enqueued", clock.moment(info["enqueued_at_ms"]))
    sheet.field("started", clock.moment(info["started_at_ms"]))
    sheet.field("ended", clock.moment(info["finished_at_ms"]))
    sheet.field("worker", info["owner"])
    if info["progress"] is not None:
        sheet.field("progress", _json(info["progress"]))
    if info["state"] == "succeeded":
        note = record.get("result_note")
        sheet.field("result", f"({note})" if note else _json(record["result"]))
    sheet.field("from", record.get("parent"))
    if count := record.get("children_count"):
        sheet.field("led to", f"{count} tasks: {', '.join(record['children'])}")
    failure = info.get("failure")
    if failure:
        sheet.field("failure", Styled(f"{failure['type']}: {failure['message']}", "bad"))
        sheet.block(failure.get("traceback") or "")
    if record.get("attempts"):
        sheet.line()
        sheet.table(_attempts(record["attempts"], clock))
    return sheet


def _arguments(record: Json) -> str:
    call, note = record.get("call"), record.get("call_note") or ""
    if call is None:
        return f"({note})" if note else "(no longer kept)"
    if isinstance(call, str):
        return f"({call})"
    words = [_json(value) for value in call.get("args") or ()]
    words += [f"{name}={_json(value)}" for name, value in (call.get("kwargs") or {}).items()]
    return f"{', '.join(words) or '(none)'}{f'  ({note})' if note else ''}"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[:LONGEST_VALUE]}… ({len(text):,} characters; -o json shows all)"


def _attempts(attempts: list[Json], clock: Clock) -> Table:
    table = Table(
        Column("attempt", right=True),
        "pod",
        "started",
        Column("waited", right=True),
        Column("ran", right=True),
        "outcome",
        Column("error", shrinks=True),
    )
    for each in attempts:
        error = each.get("error")
        table.add(
            each["number"],
            each.get("pod") or each.get("worker"),
            clock.moment(each.get("started_at_ms")),
            _duration(each.get("waited_ms")),
            _duration(each.get("ran_ms")),
            each["outcome"],
            f"{error['type']}: {error['message']}" if error else None,
        )
    return table


def _duration(ms: float | None) -> str | None:
    return None if ms is None else duration(ms)
