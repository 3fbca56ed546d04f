"""`kubectl tq`: what it shows."""

import json

import pytest

from identtqueue.cli.exits import Exit


async def test_status_shows_each_taskqueue_in_a_line(plugin, setup, running):
    head, row, *rest = (await plugin.says("status", "-n", "ns")).splitlines()
    assert head.split()[:5] == ["NAME", "REPLICAS", "READY", "QUEUED", "RUNNING"]
    assert row.split()[:5] == [setup.name, "1", "1", "2", "1"]
    assert row.endswith("AtMaxReplicas")
    assert rest == []
    assert "NAMESPACE" in await plugin.says("status", "-A")


async def test_status_of_one_says_everything(plugin, setup, running):
    text = await plugin.says("status", setup.name)
    assert f"{setup.name}: ceil((2 queued + 1 in flight) / 1 per replica) = 3" in text
    (row,) = await plugin.rows("status", setup.name)
    assert (row["name"], row["ready"], row["reason"]) == (setup.name, True, "AtMaxReplicas")
    assert row["tasks"]["queued"] == 2


async def test_status_says_what_is_wrong(plugin, setup, running):
    setup.api.change("taskqueues", setup.name, {"spec": {"redis": {"address": "127.0.0.1:1"}}})
    await setup.reason("RedisUnreachable")
    text = await plugin.says("status")
    assert f"{setup.name}: not RedisReachable (RedisUnreachable) since" in text
    (row,) = await plugin.rows("status")
    assert "RedisReachable" in [finding["type"] for finding in row["findings"]]


async def test_explain_takes_the_decisions_apart(plugin, setup, running):
    text = await plugin.says("explain", setup.name)
    assert "then maxReplicas makes it 1" in text
    assert "MaxReplicas (spec.scaling.maxReplicas): there are never more replicas" in text
    (row,) = await plugin.rows("explain", setup.name)
    assert row["decision"]["limits"][0]["name"] == "MaxReplicas"


@pytest.mark.slow
async def test_where_there_is_nothing_it_says_so(plugin, setup):
    assert "there is no TaskQueue in namespace ns" in await plugin.says("status")
    assert "there is no TaskQueue in any namespace" in await plugin.says("explain", "-A")
    assert await plugin.rows("status") == []
    code, said = await plugin.fails("tasks")
    assert (code, said) == (Exit.NOTHING, "Error: namespace ns has no TaskQueue\n")
    code, said = await plugin.fails("status", "nothing")
    assert code == Exit.NOTHING
    assert "(NotFound)" in said


@pytest.mark.slow
async def test_workers_are_shown_with_their_nodes(plugin, setup, running):
    worker, _ = running
    head, row = (await plugin.says("workers")).splitlines()
    assert head.split() == ["POD", "NODE", "STATE", "TASKS", "QUEUES", "LEASE", "UP"]
    assert row.split()[:5] == [worker.pod_name, "node", "working", "1/10", setup.queue]
    (found,) = await plugin.rows("workers")
    assert (found["worker_id"], found["node"]) == (worker.worker_id, "node")


@pytest.mark.slow
async def test_tasks_are_listed_by_state(plugin, setup, running):
    _, (first, *waiting) = running
    lines = (await plugin.says("tasks", "--oldest")).splitlines()
    assert [line.split()[0] for line in lines] == ["ID", *waiting]
    lines = (await plugin.says("tasks", "--limit", "1")).splitlines()
    assert lines[-1] == f"queue {setup.queue}: 1 of 2 pending tasks; --limit shows more"
    (row,) = await plugin.rows("tasks", setup.name, "--state", "running")
    assert (row["task_id"], row["job"]) == (first, "job")
    text = await plugin.says("tasks", "--job", "other")
    assert text == f"queue {setup.queue}: none of 2 pending tasks match\n"
    assert "no dead tasks match" in await plugin.says("tasks", "--state", "dead")


@pytest.mark.slow
async def test_a_task_is_shown_whole(plugin, client, setup, running):
    task_id = await client.enqueue_job(setup.queue, "job", "page\x1b[2J", number=7)
    text = await plugin.says("task", task_id)
    assert text.startswith(f"{task_id}\n")
    assert 'arguments  "page\\u001b[2J", number=7' in text
    (row,) = await plugin.rows("task", task_id)
    assert row["call"]["kwargs"] == {"number": 7}
    plugin.log_in({"token": "v"})
    assert "it takes the right to get taskqueues/arguments" in await plugin.says("task", task_id)


@pytest.mark.slow
async def test_a_dead_letter_has_its_error_and_attempts(plugin, running):
    worker, (first, *_) = running
    await worker.fail()
    text = await plugin.says("task", first)
    assert "ValueError: no such page" in text
    lines = (await plugin.says("tasks", "--state", "dead", "--error", "ValueError")).splitlines()
    assert lines[1].startswith(first)
    assert "ValueError: no such page" in lines[1]


@pytest.mark.parametrize(
    ("task_id", "code", "words"),
    [
        ("no-id", Exit.USAGE, "has no ':'"),
        ("foreign:1", Exit.NOTHING, "no TaskQueue of namespace ns has the queue foreign"),
    ],
)
async def test_a_task_that_is_not_there(plugin, running, task_id, code, words):
    found, said = await plugin.fails("task", task_id)
    assert found == code
    assert words in said


async def test_events_are_shown(plugin, setup, running):
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 2}}})
    await setup.told("ScaledUp")
    text = await plugin.says("events", setup.name)
    reasons = [row["reason"] for row in await plugin.rows("events")]
    assert "ScaledUp" in reasons
    assert all(reason in text for reason in reasons)
    assert "there is no event" in await plugin.says("events", "another")


async def test_logs_are_those_of_the_workload(plugin, setup, running):
    defaults = {"apiVersion": "apps/v1", "kind": "Deployment"}  # of the CRD
    setup.api.change("taskqueues", setup.name, {"spec": {"workloadRef": defaults}})
    line = {"level": "info", "message": "done"}
    plugin.set(logs=f"[pod/a-1/worker] {json.dumps(line)}\n[pod/a-1/worker] plain")
    first, second = await plugin.rows("logs", setup.name)
    assert first == {"pod": "a-1", "container": "worker", "line": line}
    assert second["line"] == "plain"
    assert (await plugin.fails("logs", "-f", "-o", "json"))[0] == Exit.USAGE
