"""The parts without a whole instance: commands, containers, rollouts, requests, tables."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import DELETION_COST, key_of
from identtqueue_operator.local import show
from identtqueue_operator.local.api import LocalApi
from identtqueue_operator.local.command import NotRunnable, Surroundings, command_of, expand
from identtqueue_operator.local.container import Container
from identtqueue_operator.local.deployments import Deployments
from identtqueue_operator.local.guard import Guard
from identtqueue_operator.local.objects import Objects
from identtqueue_operator.local.output import MOST_WAITING, Output
from identtqueue_operator.local.state import StateFolder
from identtqueue_operator.model import Key
from testing.waiting import eventually

POD = {
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "a"}},
    "spec": {"nodeName": "n"},
}


def surroundings(**more) -> Surroundings:
    given = {
        "instance": "i",
        "secrets_folder": Path("/s"),
        "aliases": {"redis://embedded": "embedded"},
        "secret": {("default", "login", "password"): "p"},
        "base": {"PATH": "/bin", "NOTIFY_SOCKET": "/n", "IDENTTQUEUE_SECRET_A_B": "x"},
    }
    return Surroundings(**given | more)


# --- commands ---


def test_a_container_becomes_a_command() -> None:
    fields = {"NAME": "metadata.name", "NODE": "spec.nodeName", "APP": "metadata.labels['app']"}
    container = {
        "name": "worker",
        "command": ["run", "$(NAME)"],
        "args": ["$(LOGIN)", "$$(NAME)", "$(NONE)"],
        "env": [
            *({"name": n, "valueFrom": {"fieldRef": {"fieldPath": p}}} for n, p in fields.items()),
            {
                "name": "LOGIN",
                "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}},
            },
            {"name": "BOTH", "value": "$(NAME)-$(NODE)"},
            {"name": "IDENTTQUEUE_REDIS_ADDRESS", "value": "redis://embedded"},
            {"name": "IDENTTQUEUE_HTTP_PORT", "value": "8080"},
            {
                "name": "IDENTTQUEUE_REDIS_PASSWORD_FILE",
                "value": "/var/run/identtqueue/login/password",
            },
        ],
    }
    command = command_of(container, POD, surroundings())
    environment = dict(command.environment)
    assert command.arguments == ("run", "p", "p", "$(NAME)", "$(NONE)")
    assert environment["BOTH"] == "p-n"
    assert environment["APP"] == "a"
    assert environment["IDENTTQUEUE_POD_UID"] == "u"
    assert environment["IDENTTQUEUE_REDIS_ADDRESS"] == "embedded"
    assert environment["IDENTTQUEUE_REDIS_PASSWORD_FILE"] == "/s/default/login/password"
    assert environment["IDENTTQUEUE_HTTP_PORT"] == str(command.port) != "8080"
    assert environment["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]
    assert not {"NOTIFY_SOCKET", "IDENTTQUEUE_SECRET_A_B"} & environment.keys()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"fieldRef": {"fieldPath": "spec.x"}}, "fieldRef spec.x is not known"),
        ({"secretKeyRef": {"name": "login", "key": "no"}}, "no key no of a Secret login"),
        ({"resourceFieldRef": {}}, "valueFrom.resourceFieldRef is not supported"),
    ],
)
def test_a_value_from_nowhere_is_named(source, text: str) -> None:
    container = {"name": "w", "command": ["run"], "env": [{"name": "A", "valueFrom": source}]}
    with pytest.raises(NotRunnable, match=text):
        command_of(container, POD, surroundings())
    with pytest.raises(NotRunnable, match="container w has no command"):
        command_of({"name": "w"}, POD, surroundings())


def test_references_are_expanded_as_kubernetes_does() -> None:
    assert expand("$(A)$$(A)$(B)", {"A": "1"}) == "1$(A)$(B)"


# --- containers ---


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guard]:
    lock = StateFolder(tmp_path / "state").take()
    guard = Guard("of-a-test", lock)
    guard.start()
    yield guard
    await guard.close()
    os.close(lock)


def make(guard: Guard, spec: dict) -> tuple[Container, list[str]]:
    """Make a container, and the list of all that it prints and that happens to it."""
    said: list[str] = []
    container = Container(
        spec,
        guard,
        command=lambda: command_of(spec, POD, surroundings(base=os.environ)),
        say=said.append,
        note=said.append,
        changed=lambda: None,
    )
    return container, said


@contextlib.asynccontextmanager
async def running(
    guard: Guard, *command: str, grace_seconds: float = 5
) -> AsyncIterator[tuple[Container, list[str]]]:
    """Run a command as a container, and end it."""
    container, said = make(guard, {"name": "main", "command": command})
    task = asyncio.get_running_loop().create_task(container.run(grace_seconds))
    yield container, said
    container.end()
    await task


async def test_the_first_restart_comes_at_once_and_the_second_one_later(guard: Guard) -> None:
    async with running(guard, "sh", "-c", "echo hello; exit 3") as (container, said):
        await eventually(lambda: "is started again in 10 s" in said, lambda: str(said))
        assert container.status["restartCount"] == 1
        assert container.status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert container.status["lastState"]["terminated"]["exitCode"] == 3
        assert said.count("hello") == 2


async def test_a_command_that_does_not_exist_is_named(guard: Guard) -> None:
    async with running(guard, "/no/such/command") as (container, said):
        await eventually(lambda: said, lambda: str(said))
        assert "/no/such/command" in said[0]
        assert container.status["state"]["waiting"]["reason"] == "RunContainerError"


async def test_what_a_process_has_started_ends_with_it(guard: Guard, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    script = f"exec 9>{fifo}; sleep 600 & echo up; wait"
    async with running(guard, "sh", "-c", script) as (_, said):
        await eventually(lambda: "up" in said, lambda: str(said))
    # The kernel closes the last writing end when all of them have ended.
    await eventually(lambda: os.read(reading, 1) == b"", "end of the fifo")
    os.close(reading)


async def test_one_that_ignores_sigterm_is_killed_when_its_time_is_over(guard: Guard) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 1; done"
    async with running(guard, "sh", "-c", script, grace_seconds=0.1) as (container, said):
        await eventually(lambda: "up" in said, lambda: str(said))
    assert container.status["state"]["terminated"]["exitCode"] == 137


async def test_a_keeper_that_was_killed_is_replaced_and_knows_what_runs(guard: Guard) -> None:
    async with running(guard, "sh", "-c", "echo up; exec sleep 600") as (_, said):
        await eventually(lambda: "up" in said, lambda: str(said))
        first = guard.keeper
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: guard.keeper != first)
        await guard.close()  # as if this process had ended
        await eventually(lambda: "ended with exit code 137 (SIGKILL)" in said, lambda: str(said))


# --- Deployments ---


@pytest.fixture
async def objects() -> AsyncIterator[Objects]:
    objects = Objects()
    task = asyncio.get_running_loop().create_task(Deployments(objects).run())
    yield objects
    task.cancel()


def create(objects: Objects, replicas: int, **spec) -> Key:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "w"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"replicas": replicas, "template": template, **spec}}
    return key_of(objects.create("deployments", body))


def active(objects: Objects) -> list[dict]:
    return [pod for pod in objects.all("pods") if "deletionTimestamp" not in pod["metadata"]]


async def make_ready(objects: Objects) -> None:
    for pod in active(objects):
        ready = {
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        }
        objects.merge("pods", key_of(pod), ready)


async def test_the_pod_with_the_lowest_deletion_cost_goes_first(objects: Objects) -> None:
    key = create(objects, 3)
    await eventually(lambda: len(active(objects)) == 3)
    await make_ready(objects)
    chosen = key_of(active(objects)[1])
    objects.merge("pods", chosen, {"metadata": {"annotations": {DELETION_COST: "-5"}}})
    objects.merge("deployments", key, {"spec": {"replicas": 2}})
    await eventually(lambda: len(active(objects)) == 2)
    assert chosen not in map(key_of, active(objects))


async def test_a_rollout_brings_new_pods_before_old_ones_go(objects: Objects) -> None:
    key = create(objects, 2)
    await eventually(lambda: len(active(objects)) == 2)
    await make_ready(objects)
    old = {key_of(pod) for pod in active(objects)}
    objects.merge(
        "deployments", key, {"spec": {"template": {"metadata": {"labels": {"app": "a", "v": "2"}}}}}
    )
    fewest = 2
    while any(key_of(pod) in old for pod in active(objects)):
        await asyncio.sleep(0)
        fewest = min(
            fewest, sum(show.find(p, ".status.phase") == "Running" for p in active(objects))
        )
        await make_ready(objects)
    assert fewest == 2
    await eventually(lambda: len(active(objects)) == 2)
    await eventually(lambda: objects.get("deployments", key)["status"].get("updatedReplicas") == 2)


# --- requests ---


async def test_the_store_answers_as_an_api_server_would() -> None:
    objects = Objects()
    kube = Kube(LocalApi(objects))
    key = create(objects, 1)
    path, version = "/apis/apps/v1/namespaces/default/deployments/d", "1"
    newer = await kube.scale(path, version, 4)
    seen = await kube.get_object(path)
    assert seen is not None
    assert (seen["spec"]["replicas"], seen["metadata"]["resourceVersion"]) == (4, newer)
    assert seen["metadata"]["generation"] == 2
    with pytest.raises(ApiError) as caught:
        await kube.scale(path, version, 5)
    assert caught.value.conflict
    assert await kube.get_object(path + "x") is None
    assert await kube.list_autoscalers(None) == await kube.list_scaled_objects(None) == []
    with pytest.raises(ApiError, match="405"):
        async for _ in kube.watch_pods(None, "1"):
            pass
    objects.remove("deployments", key)
    assert await kube.get_object(path) is None


# --- tables ---


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (150, "2m30s"),
        (3_000, "50m"),
        (12_000, "3h20m"),
        (90_000, "25h"),
        (864_000, "10d"),
    ],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds + 0.4)
    assert show.age(at.isoformat()) == text


def test_an_unknown_kind_is_no_name() -> None:
    assert show.kind_and_name(["po"]) == ("pods", None)
    assert show.kind_and_name(["mrz"]) == ("taskqueues", "mrz")
    with pytest.raises(Exception, match="services is none of taskqueues"):
        show.kind_and_name(["services", "x"])


# --- output ---


class Pipe(io.StringIO):
    """A stream that somebody reads only while the gate is open, or that breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.is_broken = False

    def write(self, text: str) -> int:
        self.gate.wait()
        if self.is_broken:
            raise BrokenPipeError
        return super().write(text)


def test_output_that_nobody_reads_holds_up_nobody() -> None:
    pipe = Pipe()
    output = Output(pipe, "text")
    for number in range(MOST_WAITING + 100):
        output.say("p", str(number))
    pipe.gate.set()
    while "dropped" not in pipe.getvalue():
        output.say("p", "more")
    output.close()
    first, *_, last = pipe.getvalue().splitlines()
    assert (first, last) == ("[p] 0", "[p] more")


def test_output_to_a_broken_pipe_is_thrown_away() -> None:
    pipe = Pipe()
    pipe.is_broken = True
    pipe.gate.set()
    output = Output(pipe, "text")
    output.say("p", "a")
    output.say("p", "b")
    output.close()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("style", "line", "shown"),
    [
        ("text", "a\x1b[2J", "[p] a\\x1b[2J"),
        ("json", '{"level": "info"}', '{"pod": "p", "level": "info"}'),
        ("logfmt", "time=1 level=info", "pod=p time=1 level=info"),
        ("logfmt", "hello you", 'pod=p logger=output message="hello you"'),
    ],
)
def test_each_line_has_its_pod(style: str, line: str, shown: str) -> None:
    stream = io.StringIO()
    output = Output(stream, style)
    output.say("p", line)
    output.close()
    assert stream.getvalue() == shown + "\n"


# --- probes ---


async def test_a_process_that_fails_its_probe_is_ended_and_started_again(
    guard: Guard, tmp_path: Path
) -> None:
    """A server of files: there is nothing at the path, until the test puts a file there."""
    folder = tmp_path / "served"
    folder.mkdir()
    serve = (
        "import os; from http.server import *; "
        "os.chdir(os.environ['FOLDER']); address = ('127.0.0.1', int(os.environ['PORT'])); "
        "ThreadingHTTPServer(address, SimpleHTTPRequestHandler).serve_forever()"
    )
    probe = {"periodSeconds": 0.05, "failureThreshold": 2}
    spec = {
        "name": "main",
        "command": ["sh", "-c", 'PORT=$IDENTTQUEUE_HTTP_PORT exec python -c "$SERVE"'],
        "env": [
            {"name": "IDENTTQUEUE_HTTP_PORT", "value": "8080"},
            {"name": "FOLDER", "value": str(folder)},
            {"name": "SERVE", "value": serve},
        ],
        "startupProbe": {**probe, "httpGet": {"path": "/"}, "failureThreshold": 1000},
        "readinessProbe": {**probe, "httpGet": {"path": "/ready"}, "failureThreshold": 1},
        "livenessProbe": {**probe, "httpGet": {"path": "/alive"}},
    }
    alive, ready = folder / "alive", folder / "ready"
    alive.touch()
    container, said = make(guard, spec)
    task = asyncio.get_running_loop().create_task(container.run(grace_seconds=5))
    await eventually(lambda: "/ready" in "".join(said), lambda: str(said))
    assert not container.is_ready
    ready.touch()
    await eventually(lambda: container.is_ready, lambda: str(said))
    alive.unlink()
    await eventually(lambda: container.status["restartCount"] == 1, lambda: str(said))
    alive.touch()
    assert "its liveness probe fails, so it is ended" in said
    ended = container.status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (143, "its liveness probe fails")
    await eventually(lambda: container.is_ready, lambda: str(said))
    container.end()
    await task
