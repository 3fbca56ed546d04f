"""Changes of the files under a running instance, workloadRef, and what the commands show."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
import yaml

from identtqueue import Client
from testing.local import WORKER, LocalInstance, alive, task_queue, write
from testing.waiting import eventually

pytestmark = pytest.mark.slow


def deployment(name: str, queue: str, address: str, **spec):
    """Make a Deployment as a user writes it, with everything that only a cluster has."""
    container = {
        "name": "main",
        "image": "registry/worker:1",
        "command": [*WORKER, "--concurrency=1"],
        "args": ["--queue", "$(QUEUE)"],
        "env": [
            {"name": "QUEUE", "value": queue},
            {"name": "IDENTTQUEUE_REDIS_ADDRESS", "value": address},
            {"name": "IDENTTQUEUE_HTTP_PORT", "value": "8080"},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": 1}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "volumes": []},
            },
            **spec,
        },
    }


async def test_two_task_queues_by_template_and_by_reference(
    instance: LocalInstance, client: Client, queue: str, redis_server, tmp_path: Path
) -> None:
    address, gate = redis_server.address, tmp_path / "gate"
    made = task_queue("made", f"{queue}-a", address)
    named = task_queue("named", f"{queue}-b", address, workloadRef={"name": "own"})
    listed = {"kind": "List", "items": [named, deployment("own", f"{queue}-b", address)]}
    file = write(tmp_path / "a.yaml", made, listed)
    await instance.start(file)
    ids = [await client.enqueue_job(f"{queue}-{q}", "journal", gate=str(gate)) for q in "ab"]
    pids = [(await instance.started(task_id)).pid for task_id in ids]

    def all_ready() -> bool:
        statuses = [body.get("status") or {} for body in instance.items("taskqueues")]
        return all((status.get("replicas") or {}).get("ready") for status in statuses)

    await eventually(all_ready, lambda: instance.log)
    await _show(instance)

    # The limit is taken up without a restart of anything.
    write(file, made | {"spec": made["spec"] | {"scaling": {"maxReplicas": 7}}}, listed)
    done = instance.call("apply")
    assert done.stdout.splitlines() == [
        "deployment/own unchanged",
        "taskqueue/made configured",
        "taskqueue/named unchanged",
    ]
    assert [
        body["spec"]["scaling"].get("maxReplicas") for body in instance.items("taskqueues")
    ] == [
        7,
        2,
    ]
    assert alive(pids) == set(pids)

    # What is wrong is refused as a whole.
    write(file, made, listed | {"items": [named]})
    said = instance.call("apply")
    assert said.exit_code == 0, "the Deployment that exists may be named"
    write(file, {**made, "spec": {**made["spec"], "scalin": {}}})
    said = instance.call("apply")
    assert said.exit_code == 1
    assert "spec.scalin: unknown field" in said.stderr

    # SIGHUP reads the file too. What has left it is drained and gone.
    gate.touch()
    for task_id in ids:
        await client.wait_for_result(task_id)
    write(file, made)
    instance.send(signal.SIGHUP)
    await instance.logged("taskqueue/named deleted")
    assert [body["metadata"]["name"] for body in instance.items("taskqueues")] == ["made"]
    await eventually(lambda: not instance.items("pods"), lambda: instance.log)


async def _show(instance: LocalInstance) -> None:
    """Look at all that the commands show, as kubectl would."""
    head, *rows = instance.call("get").stdout.splitlines()
    assert head.split() == [
        *("NAME", "WORKLOAD", "DESIRED", "CURRENT", "READYPODS", "QUEUED", "INFLIGHT"),
        *("OLDESTWAIT", "READY", "REASON", "AGE"),
    ]
    assert [row.split()[:5] for row in rows] == [
        ["made", "made", "1", "1", "1"],
        ["named", "own", "1", "1", "1"],
    ]
    assert instance.call("get", "-o", "wide").stdout.splitlines()[0].split()[-1] == "MESSAGE"
    pods = instance.call("get", "pods").stdout
    assert re.search(r"^own-\w+-\w{5} +1/1 +Running +0 +\d+s$", pods, re.MULTILINE), pods
    assert re.search(r"^own +1/1 +1 +1 +\d+s$", instance.call("get", "deploy").stdout, re.MULTILINE)
    as_yaml = yaml.safe_load(instance.call("get", "tq", "made", "-o", "yaml").stdout)
    assert as_yaml["spec"]["queues"][0]["name"].endswith("-a")
    as_json = json.loads(instance.call("get", "taskqueue/made", "-o", "json").stdout)
    assert as_json["spec"] == as_yaml["spec"]
    description = instance.call("describe", "made").stdout
    explanation = instance.call("explain", "made").stdout
    assert explanation.startswith("default/made: ")
    assert "last decision" in explanation
    assert "Kind:         TaskQueue" in description
    assert re.search(r"Type: +WorkersReady\n +Status: +True", description)
    assert re.search(r"Normal +ScaledUp +\d+s +identtqueue-operator +0 -> 1: ", description)
    assert instance.call("describe", "none").stderr == 'Error: taskqueues "none" not found\n'
    assert "identtqueue_operator_tasks_in_flight" in instance.call("metrics").stdout
