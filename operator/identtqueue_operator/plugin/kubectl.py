"""The user's kubectl, run with the flags that the user gave to `kubectl tq`."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from identtqueue.cli.exits import CommandFailed, Exit

Json = dict[str, Any]

TASK_QUEUES: Final = "taskqueues.identtqueue.dev"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds namespace and token, with which kubectl works there."""
TIMEOUT_SECONDS: Final = 60.0


class Kubectl:
    """kubectl with the user's flags.

    Args:
        namespace: as the user gave it; empty: that of the context.
        all_namespaces: list in every namespace.
        flags: passed on as they are, such as `--context` and its value.
    """

    def __init__(
        self, namespace: str = "", *, all_namespaces: bool = False, flags: Sequence[str] = ()
    ) -> None:
        self._namespace = namespace
        self.all_namespaces = all_namespaces
        self._flags = tuple(flags)
        self._program = os.environ.get("KUBECTL") or shutil.which("kubectl") or ""
        if not self._program:
            raise CommandFailed("kubectl is not on the PATH, and kubectl tq needs it")

    @property
    def namespace(self) -> str:
        """The namespace in which commands work."""
        if not self._namespace:
            self._namespace = str(self._context().get("namespace") or self._own_namespace())
        return self._namespace

    def user(self) -> Json:
        """Return the user of the kubeconfig's context, with secrets; {} without a kubeconfig."""
        users = self._config.get("users") or [{}]
        return users[0].get("user") or {}

    def cluster(self) -> Json:
        """Return the cluster of the kubeconfig's context; {} without a kubeconfig."""
        clusters = self._config.get("clusters") or [{}]
        return clusters[0].get("cluster") or {}

    def _context(self) -> Json:
        contexts = self._config.get("contexts") or [{}]
        return contexts[0].get("context") or {}

    @cached_property
    def _config(self) -> Json:
        try:
            text = self.run("config", "view", "--minify", "--raw", "-o", "json")
        except CommandFailed:  # in a pod there is no context
            return {}
        found: Json = json.loads(text)
        return found

    def _own_namespace(self) -> str:
        try:
            return (SERVICE_ACCOUNT / "namespace").read_text().strip()
        except OSError:
            return "default"

    # --- running it ---

    def command(self, *words: str, namespace: str = "") -> list[str]:
        """Return a command line."""
        place = ("--namespace", namespace) if namespace else ()
        return [self._program, *words, *place, *self._flags]

    def run(self, *words: str, namespace: str = "", stdin: str | None = None) -> str:
        """Run it, and return what it prints.

        Args:
            *words: its arguments.
            namespace: in which it works; empty: none is named.
            stdin: what it reads.

        Raises:
            CommandFailed: it has failed; the message is its own.
        """
        command = self.command(*words, namespace=namespace)
        try:
            done = subprocess.run(  # noqa: S603 - the user's own kubectl
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed(
                f"kubectl {words[0]} has not ended within {TIMEOUT_SECONDS:.0f} s", Exit.UNAVAILABLE
            ) from None
        if done.returncode:
            raise _failure(done.stderr)
        return done.stdout

    def get(self, *words: str, namespace: str = "") -> Json:
        """Return what `kubectl get` finds.

        Raises:
            CommandFailed: see `run`.
        """
        found: Json = json.loads(self.run("get", *words, "-o", "json", namespace=namespace))
        return found

    def show(self, *words: str, namespace: str = "") -> int:
        """Run it with this process's own output; return its exit code."""
        command = self.command(*words, namespace=namespace)
        return subprocess.run(command, check=False).returncode  # noqa: S603


def _failure(said: str) -> CommandFailed:
    """Make an error of what kubectl has said."""
    text = said.strip() or "kubectl has failed and said nothing"
    if "(NotFound)" in text:
        return CommandFailed(text, Exit.NOTHING)
    if "(Forbidden)" in text or "(Unauthorized)" in text:
        return CommandFailed(text, Exit.REFUSED)
    unreachable = ("Unable to connect to the server", "The connection to the server")
    return CommandFailed(text, Exit.UNAVAILABLE if text.startswith(unreachable) else Exit.FAILED)
