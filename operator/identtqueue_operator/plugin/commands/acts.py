"""`kubectl tq replay`, `discard`, `cancel`: acts on named tasks, or on all that match."""

from typing import Any, Final, NamedTuple

import click

from identtqueue.cli.confirm import confirm
from identtqueue.cli.display.progress import progress_bar
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
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


class _Act(NamedTuple):
    """One thing that can be done with tasks."""

    name: str
    help: str
    state: str
    """Where the tasks are, unless the user says otherwise."""
    done: str
    """The word for what has become of them."""


_ACTS: Final = (
    _Act("replay", "Put dead letters back into their queue, so that they run again.", "dead",
         "replayed"),
    _Act("discard", "Delete dead letters for good.", "dead", "deleted"),
    _Act("cancel", "Cancel tasks. Of those that run, the worker is asked to stop.", "pending",
         "cancelled"),
)  # fmt: skip


class _Wanted(NamedTuple):
    """The user's wish: an act, and its tasks."""

    act: _Act
    queue: str
    state: str
    words: dict[str, str]
    ids: list[str]


def _make(act: _Act) -> click.Command:
    """Make the command of an act."""

    @click.command(name=act.name, help=_help(act))
    @click.argument("what", nargs=-1, metavar="[TASKQUEUE] | ID...")
    @click.option("--all", "every", is_flag=True, help="All tasks in this state.")
    @click.option("--queue", default="", help="Only this queue of the TaskQueue.")
    @click.option("--state", type=click.Choice(STATES), default=act.state, show_default=True)
    @filter_options
    @click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    @json_option
    @account_option
    @cluster_options()
    def command(
        kubectl: Kubectl,
        what: tuple[str, ...],
        *,
        every: bool,
        queue: str,
        state: str,
        words: dict[str, str],
        yes: bool,
        as_json: bool,
        service_account: str,
    ) -> None:
        ids = [word for word in what if ":" in word]
        names = [word for word in what if ":" not in word]
        if len(names) > 1 or (ids and (words or every)):
            raise CommandFailed("give one TaskQueue and conditions, or ids of tasks", Exit.USAGE)
        if not (ids or words or every):
            text = f"say which tasks to {act.name}: their ids, conditions such as --job, or --all"
            raise CommandFailed(text, Exit.USAGE)
        name = names[0] if names else None
        body = find_by_task(kubectl, ids[0], name) if ids else find_one(kubectl, name)
        with gateway(kubectl, body, service_account) as asked:
            wanted = _Wanted(act, queue, state, words, ids)
            rows = _carry_out(asked, body, wanted, yes=yes, quiet=as_json)
        for row in rows if as_json else ():
            show_json(row)
        if not any(row["changed"] for row in rows):
            raise SystemExit(Exit.NOTHING)

    return command


def _help(act: _Act) -> str:
    return (
        f"{act.help}\n\nGive the ids of tasks, or a TaskQueue with conditions; --all means all "
        "tasks in this state. Before many tasks, their number is shown, and you are asked."
    )


def _carry_out(
    asked: GatewayClient, body: Json, wanted: _Wanted, *, yes: bool, quiet: bool
) -> list[Json]:
    """Act in each queue; return what was done there."""
    name = name_of(body)
    if wanted.ids:
        queue = wanted.ids[0].partition(":")[0]
        request = {"act": wanted.act.name, "queue": queue, "ids": wanted.ids}
        (answer,) = asked.stream(name, "act", request)
        row = {"queue": queue, "act": wanted.act.name, "changed": answer["changed"]}
        _say(wanted, row, quiet=quiet)
        return [row]
    queues = chosen_queues(body, wanted.queue)
    counts = [_count(asked, name, queue, wanted) for queue in queues]
    total = sum(count["count"] for count in counts)
    if not total:
        if not quiet:
            click.echo(f"no {wanted.state} task of {name} matches")
        return [{"queue": q.name, "act": wanted.act.name, "changed": 0} for q in queues]
    least = "" if all(count["exact"] for count in counts) else "at least "
    tasks = f"{least}{total:,} {wanted.state} task{'' if total == 1 else 's'} of {name}"
    confirm(f"{wanted.act.name.capitalize()} {tasks}?", yes=yes)
    rows = [_act(asked, name, queue, wanted) for queue in queues]
    for row in rows:
        _say(wanted, row, quiet=quiet)
    return rows


def _count(asked: GatewayClient, name: str, queue: NamedQueue, wanted: _Wanted) -> Json:
    words = {"queue": queue.name, "trigger": queue.trigger, "state": wanted.state}
    return asked.get(name, "count", {**wanted.words, **words})


def _act(asked: GatewayClient, name: str, queue: NamedQueue, wanted: _Wanted) -> Json:
    """Act on all tasks of a queue that match, however many requests that takes."""
    request = {
        "act": wanted.act.name,
        "queue": queue.name,
        "trigger": queue.trigger,
        "state": wanted.state,
        "filter": wanted.words,
        "cursor": "",
    }
    changed = scanned = 0
    with progress_bar(wanted.act.name) as advance:
        while True:
            last: Json = {}
            for last in asked.stream(name, "act", request):
                text = f"{changed + last['changed']:,} {wanted.act.done}"
                advance(scanned + last["scanned"], scanned + last["total"], text)
            changed += last.get("changed", 0)
            scanned += last.get("scanned", 0)
            if last.get("done", True) or not last.get("cursor"):
                break
            request["cursor"] = last["cursor"]
    return {"queue": queue.name, "act": wanted.act.name, "changed": changed}


def _say(wanted: _Wanted, row: Json, *, quiet: bool) -> None:
    if not quiet:
        number = row["changed"]
        click.echo(
            f"queue {row['queue']}: {number:,} task{'' if number == 1 else 's'} {wanted.act.done}"
        )


COMMANDS: Final[tuple[Any, ...]] = tuple(map(_make, _ACTS))
