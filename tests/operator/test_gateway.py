"""The gateway: who may ask what of which TaskQueue, and what they get. With a real Redis."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from identtqueue import State
from identtqueue.admin import Admin
from identtqueue_operator.gateway.callers import REMEMBERED_SECONDS, Callers
from identtqueue_operator.gateway.directory import Directory
from identtqueue_operator.gateway.names import AUDIENCE
from identtqueue_operator.gateway.server import MOST_REQUESTS, Gateway
from identtqueue_operator.kube.parse import DRAIN_BY_HAND
from testing.clock import StoppedClock
from testing.waiting import eventually

READ = {("get", part, "ns") for part in ("tasks", "queues", "workers")}
WRITE = {("update", part, "ns") for part in ("tasks", "queues", "workers")}


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture(autouse=True)
def people(api):
    """Somebody who may read, somebody who may do everything, and a stranger."""
    names = {"v": "viewer", "e": "editor", "s": "stranger", "t": "tenant", "bot": "bot"}
    api.tokens |= {token: {"username": name} for token, name in names.items()}
    api.audiences["bot"] = AUDIENCE
    api.rights["viewer"] |= READ
    api.rights["editor"] |= READ | WRITE | {("get", "arguments", "ns")}
    api.rights["tenant"] |= {(verb, part, "elsewhere") for verb, part, _ in READ | WRITE}
    api.rights["bot"] |= READ


@pytest.fixture
async def port(operator, kube, clock):
    directory = Directory(operator.controller.reconcilers)
    gateway = Gateway(directory, Callers(kube, clock), kube)
    yield await gateway.start(0)
    await gateway.close()


@pytest.fixture
async def ask(port, setup):
    """Status and JSON of a request about the test's TaskQueue."""
    async with aiohttp.ClientSession() as session:

        async def send(token, what, body=None, name=None, namespace="ns", **query):
            url = f"http://127.0.0.1:{port}/v1/namespaces/{namespace}/taskqueues"
            url = f"{url}/{name or setup.name}/{what}"
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            method = "GET" if body is None else "POST"
            async with session.request(
                method, url, headers=headers, json=body, params=query
            ) as response:
                lines = [json.loads(line) for line in (await response.read()).splitlines()]
                return response.status, lines[-1]

        yield send


@pytest.fixture
async def running(setup):
    """A TaskQueue with a worker that runs one of two tasks."""
    return await setup.with_a_busy_worker(tasks=2)


@pytest.fixture
async def dead(running):
    """The first task of it, as a dead letter."""
    worker, (first, _) = running
    await worker.fail()
    return first


# --- who may ---


@pytest.mark.parametrize(("token", "status"), [("v", 200), ("s", 403), ("forged", 401), ("", 401)])
async def test_the_api_server_decides_who_may_read(ask, running, token, status):
    found, answer = await ask(token, "queues")
    assert found == status
    assert ("queues" in answer) == (status == 200)


async def test_a_token_for_the_gateway_alone_is_taken(ask, running, api):
    assert (await ask("bot", "queues"))[0] == 200
    api.audiences["bot"] = "somebody-else"
    api.tokens["bot2"] = {"username": "bot"}
    api.audiences["bot2"] = "somebody-else"
    assert (await ask("bot2", "queues"))[0] == 401


@pytest.mark.parametrize(
    ("what", "body", "part"),
    [
        ("act", {"act": "replay"}, "tasks"),
        ("pause", {"paused": True}, "queues"),
        ("drain", {"pod": "p", "drain": True}, "workers"),
    ],
)
async def test_a_viewer_changes_nothing(ask, running, what, body, part):
    status, answer = await ask("v", what, body)
    assert status == 403
    assert f"viewer may not update taskqueues/{part}" in answer["error"]["message"]


async def test_rights_elsewhere_are_no_rights_here_and_tell_nothing(ask, setup, running):
    status, there = await ask("t", "tasks")
    missing, nowhere = await ask("t", "tasks", name="no-such-thing")
    assert (status, missing) == (403, 403)
    assert (
        there["error"]["message"].replace(setup.name, "no-such-thing")
        == (nowhere["error"]["message"])
    )
    status, answer = await ask("t", "tasks", namespace="elsewhere")
    assert (status, answer["error"]["reason"]) == (404, "TaskQueueNotFound")


async def test_a_right_that_is_revoked_ends_soon(ask, running, api, clock):
    assert (await ask("v", "queues"))[0] == 200
    asked = len(api.requests)
    assert (await ask("v", "queues"))[0] == 200
    assert len(api.requests) == asked, "the answers are remembered"
    api.rights["viewer"].clear()
    clock.now += REMEMBERED_SECONDS
    assert (await ask("v", "queues"))[0] == 403


async def test_an_api_server_that_can_not_answer_is_no_permission(ask, running, api):
    api.forbidden = "subjectaccessreviews"
    status, answer = await ask("v", "queues")
    assert (status, answer["error"]["reason"]) == (503, "CallerUnchecked")


async def test_many_requests_wait_for_nobody(ask, running, api):
    api.held["tokenreviews"] = gate = asyncio.Event()
    slow = [asyncio.ensure_future(ask(f"forged-{n}", "queues")) for n in range(MOST_REQUESTS)]
    await eventually(lambda: sum("tokenreviews" in path for _, path, _ in api.requests) >= 4)
    assert (await ask("v", "queues"))[0] == 429
    gate.set()
    assert {status for status, _ in await asyncio.gather(*slow)} == {401}


# --- what is read ---


async def test_queues_and_workers_are_shown(ask, setup, running):
    worker, _ = running
    _, answer = await ask("v", "queues")
    (row,) = answer["queues"]
    assert (row["queue"], row["queued"], row["in_flight"]) == (setup.queue, 1, 1)
    _, answer = await ask("v", "workers")
    (row,) = answer["workers"]
    assert (row["worker_id"], row["pod_name"]) == (worker.worker_id, worker.pod_name)
    assert (row["queues"], row["in_flight"], row["draining"]) == ([setup.queue], 1, False)


async def test_tasks_are_listed_in_pages(ask, setup, running):
    _, ids = running
    more = await setup.enqueue(2)
    waiting = [ids[1], *more]
    found, cursor = [], ""
    while cursor is not None:
        status, page = await ask("v", "tasks", limit="2", order="oldest", cursor=cursor)
        assert (status, page["total"]) == (200, 3)
        found += [row["task_id"] for row in page["tasks"]]
        cursor = page["cursor"]
    assert found == waiting
    _, page = await ask("v", "tasks", state="running")
    assert [row["task_id"] for row in page["tasks"]] == ids[:1]
    _, page = await ask("v", "tasks", job="other")
    assert page["tasks"] == []


@pytest.mark.parametrize(
    "query",
    [{"state": "lost"}, {"limit": "0"}, {"limit": "many"}, {"colour": "red"}, {"since": "soon"}],
)
async def test_a_question_that_means_nothing_is_answered_in_words(ask, running, query):
    status, answer = await ask("v", "tasks", **query)
    assert status == 400
    (name,) = query
    assert name in answer["error"]["message"]


async def test_arguments_take_a_right_of_their_own(ask, client, setup, running):
    task_id = await client.enqueue_job(setup.queue, "job", "secret stuff", key=7)
    status, answer = await ask("v", f"tasks/{task_id}")
    assert (status, answer["task"]["call"], answer["task"]["result"]) == (200, None, None)
    assert "taskqueues/arguments" in answer["task"]["call_note"]
    assert "secret" not in str(answer)
    _, answer = await ask("e", f"tasks/{task_id}")
    assert answer["task"]["call"]["args"] == ["secret stuff"]
    assert answer["task"]["call"]["kwargs"] == {"key": 7}
    assert (await ask("v", "tasks", text="secret"))[0] == 403
    _, page = await ask("e", "tasks", text="secret")
    assert [row["task_id"] for row in page["tasks"]] == [task_id]


async def test_queues_that_the_taskqueue_does_not_name_are_out_of_reach(ask, client, running):
    foreign = await client.enqueue_job("foreign-queue", "job")
    for token in "ve":
        assert (await ask(token, f"tasks/{foreign}"))[0] == 404
        assert (await ask(token, "tasks", queue="foreign-queue"))[0] == 404
    for body in ({"ids": [foreign]}, {"ids": [foreign], "queue": "foreign-queue"}):
        status, _ = await ask("e", "act", {"act": "cancel", **body})
        assert status in (400, 404)
    info = await client.get_task(foreign)
    assert info.state is State.PENDING


async def test_a_redis_that_is_away_is_named_and_not_quoted(ask, setup, running, api):
    api.change("taskqueues", setup.name, {"spec": {"redis": {"address": "redis://127.0.0.1:1"}}})
    await setup.reason("RedisUnreachable")
    status, answer = await ask("v", "tasks")
    assert (status, answer["error"]["reason"]) == (503, "RedisUnreachable")
    assert "can't be reached" in answer["error"]["message"]


# --- what is done ---


async def test_dead_letters_run_again_in_the_callers_name(ask, setup, dead, redis_server):
    status, done = await ask("e", "act", {"act": "replay", "state": "dead"})
    assert (status, done["changed"], done["done"]) == (200, 1, True)
    info = await setup.client.get_task(dead)
    assert info.state is State.PENDING
    async with Admin(redis_server.address) as admin:
        entry, *_ = await admin.audit(setup.queue)
    assert (entry.who, entry.act, entry.changed) == ("kubectl:editor", "replay", 1)


async def test_named_tasks_are_cancelled(ask, setup, running):
    _, (_, waiting) = running
    _, done = await ask("e", "act", {"act": "cancel", "ids": [waiting]})
    assert done["changed_ids"] == [waiting]
    info = await setup.client.get_task(waiting)
    assert info.state is State.CANCELLED


async def test_a_queue_is_paused_and_resumed(ask, setup, running):
    _, answer = await ask("e", "pause", {"paused": True})
    assert answer == {"queues": [setup.queue], "changed": [setup.queue]}
    _, answer = await ask("v", "queues")
    assert answer["queues"][0]["paused"] is True
    assert (await ask("e", "pause", {"paused": False}))[1]["changed"] == [setup.queue]
    assert (await ask("e", "pause", {"paused": False}))[1]["changed"] == []


async def test_a_pod_stays_drained_until_it_is_called_back(ask, setup, operator, running):
    worker, _ = running
    _, answer = await ask("e", "drain", {"pod": worker.pod_name, "drain": True})
    assert answer == {"pod": worker.pod_name, "changed": True}
    annotations = setup.api.get("pods", worker.pod_name)["metadata"]["annotations"]
    assert annotations[DRAIN_BY_HAND] == "kubectl:editor"

    async def draining():
        return (await ask("v", "workers"))[1]["workers"][0]["draining"]

    await eventually(draining)
    await operator.looks()
    assert await draining(), "the operator does not call it back"
    await eventually(lambda: setup.condition("Draining") == ("True", "DrainedByHand"))
    await ask("e", "drain", {"pod": worker.pod_name, "drain": False})

    async def working():
        return not await draining()

    await eventually(working)
    assert (await ask("e", "drain", {"pod": "other", "drain": True}))[0] == 404


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("act", {"act": "move"}),
        ("act", {"act": "replay", "ids": "mrz:1"}),
        ("act", {"act": "replay", "filter": ["job"]}),
        ("pause", {}),
        ("drain", {"pod": "p"}),
    ],
)
async def test_an_act_that_means_nothing_is_refused(ask, running, what, body):
    assert (await ask("e", what, body))[0] == 400


def listening_at(port):
    """The addresses at which this machine listens on a port, as the kernel writes them."""
    table = Path("/proc/net/tcp").read_text().splitlines()
    listening = [line.split() for line in table if line.split()[3:4] == ["0A"]]
    return {row[1].split(":")[0] for row in listening if int(row[1].split(":")[1], 16) == port}


async def test_the_gateway_listens_on_the_loopback_address_only(port):
    assert listening_at(port) == {"0100007F"}
