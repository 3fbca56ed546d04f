"""The token by which the operator's gateway knows the user.

The gateway can have the API server check tokens. So it takes the token of the user's kubeconfig,
whether it is written there, in a file, or made by a credential plugin. A client certificate proves
something only to the server at the other end of the TLS connection. Who has one names a
ServiceAccount instead, and gets a token that is good for the gateway alone and for ten minutes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.gateway.names import AUDIENCE
from identtqueue_operator.plugin.kubectl import SERVICE_ACCOUNT, Json, Kubectl

VARIABLE: Final = "KUBECTL_TQ_TOKEN"
"""Environment variable with a token that is used before any other."""
DURATION: Final = "10m"
"""Life of a token of a ServiceAccount; the API server grants no less."""
EXEC_TIMEOUT_SECONDS: Final = 120.0
"""For a credential plugin, which may wait for a person in a browser."""


def find_token(kubectl: Kubectl, service_account: str = "") -> str:
    """Return a token of the user.

    Args:
        kubectl: knows the kubeconfig.
        service_account: make a token of this ServiceAccount, which must be in the namespace.

    Raises:
        CommandFailed: there is none.
    """
    if service_account:
        words = ("create", "token", service_account, "--audience", AUDIENCE, "--duration", DURATION)
        return kubectl.run(*words, namespace=kubectl.namespace).strip()
    if token := os.environ.get(VARIABLE, "").strip():
        return token
    user = kubectl.user()
    token = _from_kubeconfig(user, kubectl)
    if token:
        return token
    raise CommandFailed(_words(user), Exit.REFUSED)


def _from_kubeconfig(user: Json, kubectl: Kubectl) -> str:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return _read(Path(user["tokenFile"]))
    if user.get("exec"):
        return _from_plugin(user["exec"], kubectl)
    if not user and (SERVICE_ACCOUNT / "token").exists():
        return _read(SERVICE_ACCOUNT / "token")
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise CommandFailed(f"the token file of your kubeconfig can't be read: {error}") from None


def _from_plugin(settings: Json, kubectl: Kubectl) -> str:
    """Run a credential plugin, as kubectl does (client.authentication.k8s.io)."""
    spec: Json = {"interactive": sys.stdin.isatty()}
    if settings.get("provideClusterInfo"):
        spec["cluster"] = _cluster_info(kubectl.cluster())
    question = {"apiVersion": settings["apiVersion"], "kind": "ExecCredential", "spec": spec}
    named = {each["name"]: each["value"] for each in settings.get("env") or ()}
    try:
        done = subprocess.run(  # noqa: S603 - the user's kubeconfig names it
            [settings["command"], *(settings.get("args") or ())],
            env={**os.environ, **named, "KUBERNETES_EXEC_INFO": json.dumps(question)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=EXEC_TIMEOUT_SECONDS,
            check=True,
        )
        answer: Any = json.loads(done.stdout)
        return str((answer.get("status") or {}).get("token") or "")
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as error:
        hint = settings.get("installHint") or ""
        what = f"the credential plugin {settings['command']} of your kubeconfig gave no token"
        raise CommandFailed(
            f"{what} ({type(error).__name__}). {hint}".strip(), Exit.REFUSED
        ) from None


def _cluster_info(cluster: Json) -> Json:
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
    found = {name: cluster[name] for name in names if name in cluster}
    if "certificate-authority-data" in cluster:
        found["certificate-authority-data"] = cluster["certificate-authority-data"]
    return found


def _words(user: Json) -> str:
    """Say why there is no token, and what to do."""
    certificate = any(name.startswith("client-certificate") for name in user)
    why = "logs in with a client certificate" if certificate else "has no token"
    return (
        f"your kubeconfig {why}, and the operator can only check tokens. Name a ServiceAccount of "
        "the namespace for which you may create tokens: --service-account NAME"
    )
