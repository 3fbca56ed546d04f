"""`kubectl tq pause` and `kubectl tq resume`: of queues, of one job, or of scaling."""

import json

import click

from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.plugin.gateway_client import gateway
from identtqueue_operator.plugin.kubectl import TASK_QUEUES, Json, Kubectl
from identtqueue_operator.plugin.options import account_option, cluster_options, json_option
from identtqueue_operator.plugin.task_queues import chosen_queues, find_one, name_of


def _make(verb: str, text: str, *, stop: bool) -> click.Command:
    """Make one of the two commands."""

    @click.command(name=verb, help=text)
    @click.argument("name", required=False)
    @click.option("--queue", default="", help="Only this queue of the TaskQueue.")
    @click.option("--job", default="", help="Only tasks of this job.")
    @click.option("--scaling", is_flag=True, help="The scaling instead: replicas stay as they are.")
    @json_option
    @account_option
    @cluster_options()
    def command(
        kubectl: Kubectl,
        name: str | None,
        *,
        queue: str,
        job: str,
        scaling: bool,
        as_json: bool,
        service_account: str,
    ) -> None:
        if scaling and (queue or job):
            raise CommandFailed("--scaling is of the whole TaskQueue", Exit.USAGE)
        body = find_one(kubectl, name)
        if scaling:
            answer = _scaling(kubectl, body, stop=stop)
        else:
            queues = [each.name for each in chosen_queues(body, queue)]
            request = {"paused": stop, "queues": queues, "job": job}
            with gateway(kubectl, body, service_account) as asked:
                answer = asked.post(name_of(body), "pause", request)
        if as_json:
            show_json({"taskqueue": name_of(body), "job": job or None, **answer})
        else:
            _say(answer, job, stop=stop)

    return command


def _scaling(kubectl: Kubectl, body: Json, *, stop: bool) -> Json:
    """Set `spec.paused` by the user's own right to change the TaskQueue."""
    changed = bool(body["spec"].get("paused")) is not stop
    if changed:
        patch = json.dumps({"spec": {"paused": True if stop else None}})
        words = ("patch", TASK_QUEUES, name_of(body), "--type=merge", "-p", patch)
        kubectl.run(*words, namespace=kubectl.namespace)
    return {"scaling": name_of(body), "changed": changed}


def _say(answer: Json, job: str, *, stop: bool) -> None:
    state = "paused" if stop else "resumed"
    if "scaling" in answer:
        already = "" if answer["changed"] else " already"
        click.echo(f"scaling of {answer['scaling']} is {state}{already}")
        return
    for queue in answer["queues"]:
        what = f"job {job} in queue {queue}" if job else f"queue {queue}"
        already = "" if queue in answer["changed"] else " already"
        click.echo(f"{what} is {state}{already}")


pause = _make(
    "pause",
    "Stop workers from taking tasks of the TaskQueue's queues. Running tasks go on.",
    stop=True,
)
resume = _make("resume", "Let workers take tasks again.", stop=False)
