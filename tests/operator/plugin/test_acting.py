"""`kubectl tq`: what it does, and what stops it."""

import pytest

from identtqueue import State
from identtqueue.cli.exits import Exit
from identtqueue_operator.kube.parse import DRAIN_BY_HAND
from testing.waiting import eventually


async def state(setup, task_id):
    return (await setup.client.get_task(task_id)).state


@pytest.fixture
async def dead(setup, running):
    """Three dead letters, and the worker that made them."""
    worker, ids = running
    await worker.claim(10)
    await worker.fail()
    return ids


@pytest.mark.slow
async def test_all_that_match_are_replayed_after_a_question(plugin, setup, dead):
    result = await plugin("replay", "--error", "ValueError")
    assert result.exit_code == Exit.USAGE
    assert f"Replay 3 dead tasks of {setup.name}? There is no terminal" in result.stderr
    text = await plugin.says("replay", "--error", "ValueError", "--yes")
    assert text == f"queue {setup.queue}: 3 tasks replayed\n"
    assert {await state(setup, task_id) for task_id in dead} == {State.PENDING}


async def test_named_tasks_are_replayed_without_a_question(plugin, setup, dead):
    (row,) = await plugin.rows("replay", *dead[:2])
    assert row == {"queue": setup.queue, "act": "replay", "changed": 2}
    assert [await state(setup, task_id) for task_id in dead] == [
        State.PENDING,
        State.PENDING,
        State.FAILED,
    ]


async def test_where_nothing_matches_the_exit_code_says_so(plugin, setup, dead):
    code, _ = await plugin.fails("replay", "--job", "other", "--yes")
    assert code == Exit.NOTHING


@pytest.mark.parametrize(
    "words",
    [("replay",), ("replay", "q:1", "--all"), ("discard", "one", "two", "--all")],
)
async def test_which_tasks_must_be_said(plugin, running, words):
    assert (await plugin.fails(*words))[0] == Exit.USAGE


@pytest.mark.slow
async def test_tasks_are_cancelled_and_dead_letters_discarded(plugin, setup, running):
    worker, (first, *waiting) = running
    assert "2 tasks cancelled" in await plugin.says("cancel", "--all", "--yes")
    assert {await state(setup, task_id) for task_id in waiting} == {State.CANCELLED}
    await worker.fail()
    assert "1 task deleted" in await plugin.says("discard", first)
    assert await setup.client.get_task(first) is None


@pytest.mark.slow
async def test_queues_are_paused_and_resumed(plugin, setup, running, raw):
    assert await plugin.says("pause") == f"queue {setup.queue} is paused\n"
    assert await plugin.says("pause") == f"queue {setup.queue} is paused already\n"
    assert await plugin.says("resume") == f"queue {setup.queue} is resumed\n"
    assert "job mail in queue" in await plugin.says("pause", "--job", "mail")
    (row,) = await plugin.rows("resume", "--job", "mail")
    assert (row["job"], row["changed"]) == ("mail", [setup.queue])


@pytest.mark.slow
async def test_scaling_is_paused_by_the_users_own_right(plugin, setup, running):
    assert await plugin.says("pause", "--scaling") == f"scaling of {setup.name} is paused\n"
    assert setup.api.get("taskqueues", setup.name)["spec"]["paused"] is True
    await setup.reason("Paused")
    await plugin.says("resume", "--scaling")
    assert "paused" not in setup.api.get("taskqueues", setup.name)["spec"]


@pytest.mark.slow
async def test_a_pod_is_drained_and_called_back(plugin, setup, running):
    worker, _ = running
    ids = [row["task_id"] for row in await plugin.rows("tasks", "--state", "running")]
    assert len(ids) == 1
    text = await plugin.says("drain", worker.pod_name, "--no-wait")
    assert text == f"pod {worker.pod_name} of {setup.name} drains\n"
    code, said = await plugin.fails("drain", worker.pod_name, "--timeout", "0")
    assert code == Exit.LATE
    assert "still holds 1 task" in said
    await worker.finish()
    text = await plugin.says("drain", worker.pod_name, "--delete")
    assert text.splitlines() == [
        f"pod {worker.pod_name} of {setup.name} drains already",
        f"pod {worker.pod_name} holds no task",
        f"pod {worker.pod_name} is deleted",
    ]
    assert "drained" in await plugin.says("workers")
    assert "is called back" in await plugin.says("undrain", worker.pod_name)
    annotations = setup.api.get("pods", worker.pod_name)["metadata"]["annotations"]
    assert DRAIN_BY_HAND not in annotations
    code, said = await plugin.fails("drain", "operator")
    assert (code, "belongs to the workload of no TaskQueue" in said) == (Exit.NOTHING, True)


async def test_without_the_right_nothing_is_done(plugin, setup, dead):
    plugin.log_in({"token": "v"})
    code, said = await plugin.fails("replay", *dead)
    assert code == Exit.REFUSED
    assert f"viewer may not update taskqueues/tasks of {setup.name} in namespace ns" in said
    assert {await state(setup, task_id) for task_id in dead} == {State.FAILED}


# --- the way to the operator ---


@pytest.mark.parametrize("kind", ["file", "plugin", "variable", "account"])
async def test_the_token_comes_from_where_kubectl_has_it(
    plugin, running, api, tmp_path, monkeypatch, kind
):
    words = ()
    match kind:
        case "file":
            (tmp_path / "token").write_text("v\n")
            plugin.log_in({"tokenFile": str(tmp_path / "token")})
        case "plugin":
            program = tmp_path / "login"
            answer = '{"status": {"token": "\'$NAME\'"}}'
            program.write_text(f"#!/bin/sh\ntest -n \"$KUBERNETES_EXEC_INFO\" && echo '{answer}'\n")
            program.chmod(0o700)
            version = "client.authentication.k8s.io/v1"
            settings = {"command": str(program), "apiVersion": version}
            plugin.log_in({"exec": settings | {"env": [{"name": "NAME", "value": "v"}]}})
        case "variable":
            plugin.log_in({})
            monkeypatch.setenv("KUBECTL_TQ_TOKEN", "v")
        case "account":
            plugin.log_in({"client-certificate-data": "x"})
            api.tokens["token-of-bot"] = {"username": "viewer"}
            api.audiences["token-of-bot"] = "gateway.identtqueue.dev"
            words = ("--service-account", "bot")
    assert len(await plugin.rows("tasks", *words)) == 2


async def test_a_client_certificate_is_no_token(plugin, running):
    plugin.log_in({"client-certificate-data": "x", "client-key-data": "y"})
    code, said = await plugin.fails("tasks")
    assert code == Exit.REFUSED
    assert "logs in with a client certificate" in said
    assert "--service-account NAME" in said


async def test_a_tunnel_that_is_refused_says_why(plugin, running):
    plugin.set(refused="Error from server (Forbidden): pods is forbidden")
    code, said = await plugin.fails("tasks")
    assert code == Exit.REFUSED
    assert "pods is forbidden" in said


async def test_a_gateway_that_does_not_answer(plugin, running, unused_tcp_port):
    plugin.set(gateway=unused_tcp_port)
    code, said = await plugin.fails("tasks")
    assert code == Exit.UNAVAILABLE
    assert "the gateway of the operator's pod operator does not answer" in said


async def test_an_operator_without_a_gateway(plugin, api, running):
    api.change("pods", "operator", {"spec": {"containers": [{"name": "operator"}]}})
    code, said = await plugin.fails("tasks")
    assert code == Exit.FAILED
    assert "set gateway.enabled" in said


@pytest.mark.slow
async def test_an_operator_without_a_lease_is_found_by_its_labels(plugin, api, running):
    api.remove("leases", "identtqueue-operator")
    code, said = await plugin.fails("tasks")
    assert (code, "has no pod that leads" in said) == (Exit.UNAVAILABLE, True)
    labels = {
        "app.kubernetes.io/part-of": "identtqueue",
        "app.kubernetes.io/component": "operator",
    }
    running_pod = {"metadata": {"labels": labels}, "status": {"phase": "Running"}}
    api.change("pods", "operator", running_pod)
    assert len(await plugin.rows("tasks")) == 2


async def test_options_of_kubectl_are_passed_on(plugin, setup, running):
    words = ("status", "-n", "ns", "--context", "c", "--kubeconfig", "k", "--user", "u")
    assert setup.name in await plugin.says(*words, "--cluster", "x")


async def test_two_taskqueues_must_be_told_apart(plugin, setup, running):
    setup.create(name="another")
    await eventually(lambda: setup.api.get("taskqueues", "another").get("status"))
    code, said = await plugin.fails("tasks")
    assert (code, "say which TaskQueue: " in said) == (Exit.USAGE, True)
