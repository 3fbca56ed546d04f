"""`kubectl tq workers`, `drain` and `undrain`: the workers of a TaskQueue, and their pods."""

import time
from collections.abc import Callable
from typing import Any, Final

import click

from identtqueue.cli.display.table import Cell, Column, Styled, Table
from identtqueue.cli.display.times import rough
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.plugin.gateway_client import GatewayClient, gateway
from identtqueue_operator.plugin.kubectl import Json, Kubectl
from identtqueue_operator.plugin.options import account_option, cluster_options, json_option
from identtqueue_operator.plugin.task_queues import find_all, find_one, name_of

POLL_SECONDS: Final = 1.0


@click.command()
@click.argument("name", required=False)
@json_option
@account_option
@cluster_options()
def workers(kubectl: Kubectl, name: str | None, *, as_json: bool, service_account: str) -> None:
    """Show the workers of a TaskQueue: pod, node, tasks, and whether they drain."""
    body = find_one(kubectl, name)
    with gateway(kubectl, body, service_account) as asked:
        answer = asked.get(name_of(body), "workers")
    pods = _pods(kubectl)
    rows = [row | {"node": _node(row, pods)} for row in answer["workers"]]
    for problem in answer["problems"]:
        click.echo(problem, err=True)
    if as_json:
        for row in rows:
            show_json(row)
    elif rows:
        _table(rows).show()
    else:
        click.echo(f"no worker is registered in the queues of {name_of(body)}")


def _pods(kubectl: Kubectl) -> dict[str, Json]:
    """Return the namespace's pods by UID; none if the user may not list them."""
    try:
        items = kubectl.get("pods", namespace=kubectl.namespace)["items"]
    except CommandFailed:
        return {}
    return {each["metadata"]["uid"]: each for each in items}


def _node(row: Json, pods: dict[str, Json]) -> str | None:
    pod = pods.get(row.get("pod_uid") or "") or {}
    return (pod.get("spec") or {}).get("nodeName")


def _table(rows: list[Json]) -> Table:
    right = {"tasks", "lease", "up"}
    titles = ("pod", "node", "state", "tasks", "queues", "lease", "up")
    table = Table(*(Column(title, right=title in right) for title in titles))
    now_ms = time.time() * 1000
    for row in rows:
        up_ms = now_ms - row["registered_at_ms"] if row["registered_at_ms"] else None
        table.add(
            Styled(row["pod_name"] or row["host"], "name"),
            row["node"],
            _state(row),
            f"{row['in_flight']}/{row['concurrency']}",
            ",".join(row["queues"]),
            rough(max(0, row["lease_expires_in_ms"])),
            None if up_ms is None else rough(max(0, up_ms)),
        )
    return table


def _state(row: Json) -> Cell:
    if row["lease_expires_in_ms"] < 0:
        return Styled("lease expired", "bad")
    if not row["connected"]:
        return Styled("disconnected", "bad")
    if row["draining"]:
        return Styled("draining" if row["in_flight"] else "drained", "warn")
    return Styled("working" if row["in_flight"] else "idle", "good")


# --- drain ---


def _drain_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = cluster_options()(command)
    command = account_option(command)
    command = json_option(command)
    return click.argument("pods", nargs=-1, required=True, metavar="POD...")(command)


@click.command()
@click.option("--wait/--no-wait", default=True, help="Wait until the pods hold no task.")
@click.option(
    "--timeout", default=600, show_default=True, metavar="SECONDS", help="Longest time to wait."
)
@click.option("--delete", is_flag=True, help="Then delete them, so that new pods replace them.")
@_drain_options
def drain(
    kubectl: Kubectl,
    pods: tuple[str, ...],
    *,
    wait: bool,
    timeout: int,
    delete: bool,
    as_json: bool,
    service_account: str,
) -> None:
    """Let the workers in these pods finish their tasks and take no more.

    They stay drained until `kubectl tq undrain`, or until the pod is gone. They still count as
    replicas; `--delete` has new ones take their place.
    """
    if delete and not wait:
        raise CommandFailed(
            "--delete waits until the pods are idle: leave out --no-wait", Exit.USAGE
        )
    for pod, body, asked in _each(kubectl, pods, service_account):
        name = name_of(body)
        answer = asked.post(name, "drain", {"pod": pod, "drain": True})
        if not as_json:
            was = "drains" if answer["changed"] else "drains already"
            click.echo(f"pod {pod} of {name} {was}")
        if wait:
            _until_idle(asked, name, pod, timeout, quiet=as_json)
        if delete:
            kubectl.run("delete", "pod", pod, "--wait=false", namespace=kubectl.namespace)
            if not as_json:
                click.echo(f"pod {pod} is deleted")
        if as_json:
            show_json(answer | {"taskqueue": name, "idle": wait, "deleted": delete})


@click.command()
@_drain_options
def undrain(
    kubectl: Kubectl, pods: tuple[str, ...], *, as_json: bool, service_account: str
) -> None:
    """Call the workers in these pods back, so that they take tasks again."""
    for pod, body, asked in _each(kubectl, pods, service_account):
        answer = asked.post(name_of(body), "drain", {"pod": pod, "drain": False})
        if as_json:
            show_json(answer | {"taskqueue": name_of(body)})
        else:
            was = "is called back" if answer["changed"] else "was not drained by hand"
            click.echo(f"pod {pod} of {name_of(body)} {was}")


def _each(kubectl: Kubectl, pods: tuple[str, ...], service_account: str) -> Any:
    """Yield each pod with its TaskQueue, and the gateway of the operator that looks after it."""
    owners = [(pod, _task_queue_of(kubectl, pod)) for pod in pods]
    for pod, body in owners:
        with gateway(kubectl, body, service_account) as asked:
            yield pod, body, asked


def _task_queue_of(kubectl: Kubectl, pod: str) -> Json:
    """Find the TaskQueue whose workload has a pod: by the owners of the pod.

    Raises:
        CommandFailed: there is none.
    """
    found = find_all(kubectl)
    body = kubectl.get("pod", pod, namespace=kubectl.namespace)
    names = {each["name"] for each in body["metadata"].get("ownerReferences") or ()}
    # A ReplicaSet has the name of what made it, and a hash.
    names |= {name.rpartition("-")[0] for name in names}
    for each in found:
        if (each.get("status") or {}).get("workload") in names:
            return each
    text = f"pod {pod} belongs to the workload of no TaskQueue in namespace {kubectl.namespace}"
    raise CommandFailed(text, Exit.NOTHING)


def _until_idle(asked: GatewayClient, name: str, pod: str, timeout: int, *, quiet: bool) -> None:
    """Wait until the workers in a pod drain and hold no task.

    Raises:
        CommandFailed: they still do when the time is over.
    """
    until, told = time.monotonic() + timeout, None
    while True:
        rows = asked.get(name, "workers")["workers"]
        mine = [row for row in rows if pod in (row["pod_name"], row["host"])]
        held = sum(row["in_flight"] for row in mine)
        if all(row["draining"] for row in mine) and not held:
            if not quiet:
                click.echo(f"pod {pod} holds no task")
            return
        if held != told and not quiet:
            click.echo(f"pod {pod} still holds {held} task{'' if held == 1 else 's'}", err=True)
            told = held
        if time.monotonic() > until:
            text = f"pod {pod} still holds {held} tasks after {timeout} s; it goes on draining"
            raise CommandFailed(text, Exit.LATE)
        time.sleep(POLL_SECONDS)
