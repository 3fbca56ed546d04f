"""The part of kubectl in tests of `kubectl tq` without a cluster: a program of the same flags.

It asks the tests' API server, and forwards ports to a port of this machine. The end-to-end tests
use the real one. Run as a program: `kubectl.py SETTINGS_FILE WORDS...`.
"""

from __future__ import annotations

import json
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PATHS = {
    "taskqueues.identtqueue.dev": "/apis/identtqueue.dev/v1alpha1",
    "deployment.apps": "/apis/apps/v1",
    "lease": "/apis/coordination.k8s.io/v1",
    "pod": "/api/v1",
    "pods": "/api/v1",
    "events": "/api/v1",
}
PLURALS = {
    "taskqueues.identtqueue.dev": "taskqueues",
    "deployment.apps": "deployments",
    "lease": "leases",
    "pod": "pods",
}


def install(folder: Path) -> Path:
    """Write a script that runs this program with the settings in the folder; return its path."""
    script = folder / "kubectl"
    words = f"exec {sys.executable} -I -S {__file__} {folder}/settings.json"
    script.write_text(f'#!/bin/sh\n{words} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def write_settings(folder: Path, **settings: Any) -> None:
    """Write what the program is to use.

    Args:
        folder: of the script.
        **settings: `api`: host and port of the API server; `config`: the kubeconfig; `gateway`: the
            port that each forwarded one leads to; `refused`: what port-forward says instead;
            `logs`: what logs prints.
    """
    (folder / "settings.json").write_text(json.dumps(settings))


class Refused(Exception):
    """An answer of the API server that is no success."""


class Words:
    """The command line, taken apart."""

    def __init__(self, words: list[str]) -> None:
        self.plain: list[str] = []
        self.options: dict[str, str] = {}
        rest = iter(words)
        for word in rest:
            if word in ("--all-namespaces", "--minify", "--raw", "--prefix", "--follow"):
                self.options[word] = "true"
            elif word.startswith("-") and "=" in word:
                name, _, value = word.partition("=")
                self.options[name] = value
            elif word.startswith("-"):
                self.options[word] = next(rest)
            else:
                self.plain.append(word)


def main(settings: Json, words: list[str]) -> None:
    asked = Words(words)
    match asked.plain:
        case ["config", "view"]:
            print(json.dumps(settings["config"]))
        case ["get", kind, *names]:
            print(json.dumps(get(settings["api"], asked, kind, names)))
        case ["create", "token", name]:
            assert asked.options["--audience"] == "gateway.identtqueue.dev"
            print(f"token-of-{name}")
        case ["patch", kind, name]:
            path = f"{place(asked, kind)}/{name}?fieldManager=identtqueue-operator"
            patch = json.loads(asked.options["-p"])
            call(settings["api"], "PATCH", path, patch)
        case ["delete", "pod", name]:
            print(f"deleted {name}")
        case ["logs", *_]:
            print(settings["logs"])
        case ["port-forward", _, _]:
            if settings.get("refused"):
                raise Refused(settings["refused"])
            forward(settings["gateway"])
        case _:
            raise Refused(f"unknown command {asked.plain}")


def get(api: list[Any], asked: Words, kind: str, names: list[str]) -> Json:
    if names:
        return call(api, "GET", f"{place(asked, kind)}/{names[0]}")
    found = call(api, "GET", place(asked, kind))
    for term in filter(None, asked.options.get("--field-selector", "").split(",")):
        path, _, value = term.partition("=")
        found["items"] = [each for each in found["items"] if at(each, path) == value]
    for term in filter(None, asked.options.get("-l", "").split(",")):
        key, _, value = term.partition("=")
        found["items"] = [
            each
            for each in found["items"]
            if (each["metadata"].get("labels") or {}).get(key) == value
        ]
    return found


def at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body[step]
    return body


def place(asked: Words, kind: str) -> str:
    scope = ""
    if "--all-namespaces" not in asked.options:
        scope = f"/namespaces/{asked.options['--namespace']}"
    return f"{PATHS[kind]}{scope}/{PLURALS.get(kind, kind)}"


def call(api: list[Any], method: str, path: str, body: Json | None = None) -> Json:
    """Send a request. By hand: `http.client` takes longer to import than all the rest to run."""
    data = json.dumps(body).encode() if body else b""
    head = (
        f"{method} {path} HTTP/1.0\r\nHost: {api[0]}\r\nContent-Length: {len(data)}\r\n"
        "Content-Type: application/merge-patch+json\r\n\r\n"
    )
    with socket.create_connection(tuple(api)) as connection:
        connection.sendall(head.encode() + data)
        with connection.makefile("rb") as stream:
            answered, _, text = stream.read().partition(b"\r\n\r\n")
    answer: Json = json.loads(text)
    if int(answered.split()[1]) >= 400:
        raise Refused(f"Error from server ({answer['reason']}): {answer['message']}")
    return answer


def forward(port: int) -> None:
    """Forward connections until this process is ended."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"Forwarding from 127.0.0.1:{listening.getsockname()[1]} -> 8081", flush=True)
        while True:
            near, _ = listening.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=copy, args=(one, other), daemon=True).start()


def copy(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65_536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    try:
        main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:])
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)
