"""Questions to the operator's gateway."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.gateway.names import PORT_VARIABLE
from identtqueue_operator.plugin.kubectl import Json, Kubectl
from identtqueue_operator.plugin.login import find_token
from identtqueue_operator.plugin.tunnel import tunnel

ANSWER_SECONDS: Final = 60.0
"""Longest silence of the gateway; it gives up earlier itself."""
SELECTOR: Final = "app.kubernetes.io/part-of=identtqueue,app.kubernetes.io/component=operator"

_EXITS: Final = {
    400: Exit.USAGE,
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    404: Exit.NOTHING,
    429: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}


class GatewayClient:
    """The gateway at the other end of a tunnel.

    Args:
        port: of this machine's loopback address.
        token: of the user.
        namespace: of the TaskQueues.
        pod: the operator's, for messages.
    """

    def __init__(self, port: int, token: str, namespace: str, pod: str) -> None:
        self._port = port
        self._token = token
        self._namespace = namespace
        self._pod = pod

    def get(self, task_queue: str, what: str, words: Mapping[str, Any] | None = None) -> Json:
        """Ask for something of a TaskQueue.

        Args:
            task_queue: its name.
            what: the last part of the path, such as `workers`.
            words: parameters; empty ones are left out.

        Raises:
            CommandFailed: the gateway refuses, or can't be reached.
        """
        given = {name: value for name, value in (words or {}).items() if value not in ("", None)}
        return self._answer("GET", f"{self._path(task_queue, what)}?{urlencode(given)}")

    def post(self, task_queue: str, what: str, body: Json) -> Json:
        """Have something done, as `get`."""
        return self._answer("POST", self._path(task_queue, what), body)

    def stream(self, task_queue: str, what: str, body: Json) -> Iterator[Json]:
        """Have something done, and yield each line of its progress, as `get`."""
        with self._response("POST", self._path(task_queue, what), body) as response:
            for line in response:
                yield _checked(json.loads(line), 500)

    def _path(self, task_queue: str, what: str) -> str:
        parts = ("v1", "namespaces", self._namespace, "taskqueues", task_queue)
        return "/" + "/".join(map(quote, parts)) + "/" + quote(what, safe="/:")

    def _answer(self, method: str, path: str, body: Json | None = None) -> Json:
        with self._response(method, path, body) as response:
            return _checked(json.loads(response.read()), 200)

    @contextmanager
    def _response(
        self, method: str, path: str, body: Json | None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; provide its answer, if that is no refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
            response = connection.getresponse()
            if response.status >= 400:
                text = response.read()
                _checked(_parsed(text), response.status)
                raise CommandFailed(f"the gateway answers {response.status}: {text!r:.300}")
            yield response
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"the gateway of the operator's pod {self._pod} does not answer"
            raise CommandFailed(
                f"{what} ({type(error).__name__}: {error})", Exit.UNAVAILABLE
            ) from None
        finally:
            connection.close()


def _parsed(text: bytes) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _checked(answer: Json, status: int) -> Json:
    """Return an answer, unless it is a refusal.

    Raises:
        CommandFailed: it is one.
    """
    error = answer.get("error")
    if isinstance(error, dict):
        raise CommandFailed(str(error.get("message")), _EXITS.get(status, Exit.FAILED))
    return answer


@contextmanager
def gateway(
    kubectl: Kubectl, task_queue: Json, service_account: str = ""
) -> Iterator[GatewayClient]:
    """Provide the gateway of the operator that looks after a TaskQueue.

    Args:
        kubectl: finds the operator, and forwards to it.
        task_queue: as the API server has it.
        service_account: whose token to use instead of the user's.

    Raises:
        CommandFailed: there is no operator, or no gateway, or no way to it, or no token.
    """
    token = find_token(kubectl, service_account)
    namespace, pod = find_operator(kubectl, task_queue)
    port = find_port(kubectl, namespace, pod)
    with tunnel(kubectl, namespace, pod, port) as local_port:
        yield GatewayClient(local_port, token, task_queue["metadata"]["namespace"], pod)


def find_operator(kubectl: Kubectl, task_queue: Json) -> tuple[str, str]:
    """Return namespace and name of the pod that leads the operator of a TaskQueue.

    The status names the operator by its Lease, and the Lease names the pod. An operator without
    leader election has no Lease; it has one pod.

    Raises:
        CommandFailed: no operator looks after the TaskQueue.
    """
    operator = ((task_queue.get("status") or {}).get("operator") or {}).get("name") or ""
    namespace, _, lease = operator.partition("/")
    if not lease:
        name = task_queue["metadata"]["name"]
        raise CommandFailed(f"no operator has looked at TaskQueue {name} yet", Exit.UNAVAILABLE)
    try:
        found = kubectl.get("lease", lease, namespace=namespace)
    except CommandFailed as error:
        if error.exit_code != Exit.NOTHING:
            raise
    else:
        if holder := (found.get("spec") or {}).get("holderIdentity"):
            return namespace, str(holder)
    pods = kubectl.get("pods", "-l", SELECTOR, namespace=namespace)["items"]
    running = [each for each in pods if (each.get("status") or {}).get("phase") == "Running"]
    if len(running) != 1:
        text = f"the operator {operator} has no pod that leads"
        raise CommandFailed(text, Exit.UNAVAILABLE)
    return namespace, str(running[0]["metadata"]["name"])


def find_port(kubectl: Kubectl, namespace: str, pod: str) -> int:
    """Return the port at which the gateway listens in the operator's pod.

    Raises:
        CommandFailed: the operator has no gateway.
    """
    body = kubectl.get("pod", pod, namespace=namespace)
    for container in body["spec"]["containers"]:
        for variable in container.get("env") or ():
            if variable["name"] == PORT_VARIABLE and str(variable.get("value", "")).isdecimal():
                return int(variable["value"])
    raise CommandFailed(
        f"the operator's pod {pod} in namespace {namespace} has no gateway; set gateway.enabled "
        "in the values of its chart"
    )
