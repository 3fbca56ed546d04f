"""`kubectl tq events` and `logs`: what was reported of a TaskQueue, and by its workers."""

import json
import re
import sys
import time
from typing import Any, Final

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.plugin.kubectl import Json, Kubectl
from identtqueue_operator.plugin.options import cluster_options, json_option
from identtqueue_operator.plugin.task_queues import find_one, name_of
from identtqueue_operator.status.explanation import ago

OWN_LABEL: Final = "identtqueue.dev/taskqueue"
"""Label of the pods that are made of a TaskQueue's template."""
_PREFIX: Final = re.compile(r"\[pod/([^/\]]+)/([^\]]+)\] ?(.*)")


@click.command()
@click.argument("name", required=False)
@json_option
@cluster_options(everywhere=True)
def events(kubectl: Kubectl, name: str | None, *, as_json: bool) -> None:
    """Show the events of a TaskQueue, or of all in the namespace, the newest last."""
    rows = _events(kubectl, name)
    if as_json:
        for row in rows:
            show_json(row)
        return
    if not rows:
        click.echo("there is no event; Kubernetes keeps them for an hour")
        return
    table = Table("last seen", "taskqueue", "reason", Column("count", right=True), "message")
    for row in rows:
        style = "bad" if row["type"] == "Warning" else "good"
        reason = Styled(row["reason"], style)
        when = ago(row["last_time"], time.time())
        table.add(when, Styled(row["taskqueue"], "name"), reason, row["count"], row["message"])
    table.show()


def _events(kubectl: Kubectl, name: str | None) -> list[Json]:
    fields = "involvedObject.kind=TaskQueue"
    if name:
        fields += f",involvedObject.name={name}"
    words = ["events", "--field-selector", fields]
    if kubectl.all_namespaces:
        found = kubectl.get(*words, "--all-namespaces")
    else:
        found = kubectl.get(*words, namespace=kubectl.namespace)
    rows = [
        {
            "namespace": each["metadata"]["namespace"],
            "taskqueue": each["involvedObject"]["name"],
            "type": each["type"],
            "reason": each["reason"],
            "message": each.get("message") or "",
            "count": each.get("count") or 1,
            "first_time": each.get("firstTimestamp"),
            "last_time": each.get("lastTimestamp") or each.get("eventTime"),
        }
        for each in found["items"]
    ]
    return sorted(rows, key=lambda row: str(row["last_time"]))


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("--since", default="", help="Not older than this: 90s, 15m, 2h.")
@click.option("--tail", default=100, show_default=True, help="Last lines of each pod.")
@click.option("--pod", default="", help="Only this pod.")
@click.option("-c", "--container", default="", help="This container, instead of the main one.")
@json_option
@cluster_options()
def logs(
    kubectl: Kubectl,
    name: str | None,
    *,
    follow: bool,
    since: str,
    tail: int,
    pod: str,
    container: str,
    as_json: bool,
) -> None:
    """Show the logs of the workers' pods, each line with its pod."""
    if follow and as_json:
        raise CommandFailed(
            "-o json shows the lines that there are: leave out --follow", Exit.USAGE
        )
    body = find_one(kubectl, name)
    which = [f"pod/{pod}"] if pod else ["-l", _selector(kubectl, body), "--max-log-requests=100"]
    words = ["logs", *which, "--prefix", f"--tail={tail}"]
    words += ["--follow"] if follow else []
    words += [f"--since={since}"] if since else []
    words += [f"--container={container}"] if container else []
    if not as_json:
        sys.exit(kubectl.show(*words, namespace=kubectl.namespace))
    for line in kubectl.run(*words, namespace=kubectl.namespace).splitlines():
        show_json(_line(line))


def _line(text: str) -> Json:
    """Take a line of kubectl apart. A line that is JSON is given as what it says."""
    found = _PREFIX.fullmatch(text)
    pod, container, said = found.groups() if found else (None, None, text)
    content: Any = said
    try:
        parsed = json.loads(said)
        content = parsed if isinstance(parsed, dict) else said
    except ValueError:
        pass
    return {"pod": pod, "container": container, "line": content}


def _selector(kubectl: Kubectl, body: Json) -> str:
    """Return the label selector of the workers' pods.

    Raises:
        CommandFailed: the workload can't be read, or selects its pods in another way.
    """
    reference = body["spec"].get("workloadRef")
    if reference is None:
        return f"{OWN_LABEL}={name_of(body)}"
    group, _, _ = str(reference.get("apiVersion") or "apps/v1").rpartition("/")
    kind = ".".join(filter(None, (str(reference["kind"]).lower(), group)))
    workload = kubectl.get(kind, reference["name"], namespace=kubectl.namespace)
    given = (workload.get("spec") or {}).get("selector")
    if isinstance(given, dict):
        return _written(given)
    written = (workload.get("status") or {}).get("selector")
    if written:
        return str(written)
    raise CommandFailed(f"{kind} {reference['name']} has no label selector; name a pod with --pod")


def _written(selector: Json) -> str:
    """Write a label selector as `kubectl -l` takes it."""
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        match each["operator"]:
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms)
