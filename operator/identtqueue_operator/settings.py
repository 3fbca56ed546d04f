"""The operator's settings, read from the environment once, at start.

| variable | meaning | default |
|---|---|---|
| IDENTTQUEUE_NAMESPACES | namespaces served, comma separated; `*` is the whole cluster | its own |
| IDENTTQUEUE_LABEL_SELECTOR | serve only the TaskQueues that it selects, as in `kubectl -l` | all |
| IDENTTQUEUE_TEMPLATES | make Deployments for TaskQueues with `template` | true |
| IDENTTQUEUE_REDIS_ALLOW | where Redis may be: networks and names, comma separated | anywhere |
| IDENTTQUEUE_LEADER_ELECTION | wait for the Lease before doing anything | true |
| IDENTTQUEUE_HTTP_PORT | port of /livez, /readyz and /metrics; 0 picks a free one | 8080 |
| IDENTTQUEUE_METRICS_ACCESS | `token`: /metrics is only for callers that may `get` it | none |
| IDENTTQUEUE_GATEWAY_PORT | loopback port that `kubectl tq` reaches queues by; 0 picks one | none |
| IDENTTQUEUE_TLS_CERT_FILE | certificate of the port; without it plain HTTP | |
| IDENTTQUEUE_TLS_KEY_FILE | the certificate's key; both are read again when renewed | |
| IDENTTQUEUE_LOG_LEVEL | debug, info, warning or error | info |
| IDENTTQUEUE_LOG_FORMAT | json, logfmt or text | json |
| POD_NAMESPACE, POD_NAME | by the Downward API: where the Lease lives, and who holds it | |

What the operator needs from the API server, in the namespaces it serves:

| group | resource | verbs |
|---|---|---|
| identtqueue.dev | taskqueues | get, list, watch |
| identtqueue.dev | taskqueues/status | patch |
| apps | deployments | get, list, watch; create, patch for `template` |
| apps | deployments/scale | patch |
| apps | replicasets | get |
| apps | statefulsets | get, list, watch |
| apps | statefulsets/scale | patch |
| any of `rbac.scaleTargets` | its /scale | get, patch |
| core | pods | get, list, watch, patch (the deletion cost) |
| core | secrets | get, by name |
| core | events | create, patch |
| autoscaling | horizontalpodautoscalers | list, watch |
| keda.sh | scaledobjects | list |
| authentication.k8s.io | tokenreviews | create, for a gateway or IDENTTQUEUE_METRICS_ACCESS=token |
| authorization.k8s.io | subjectaccessreviews | create, as tokenreviews |
| coordination.k8s.io | leases | get, create, update, patch, in its own namespace |

Certificates and keys from Secrets are written below the temporary directory, for this user only.
A read-only root file system needs a small writable volume there, if `redis.tls` names Secrets.
"""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from identtqueue.admin import Reach
from identtqueue.errors import InvalidInput
from identtqueue.logs import FORMATS, LogFormat
from identtqueue_operator.model import Selector
from identtqueue_operator.timings import DEFAULTS, Timings

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
LEASE_NAME = "identtqueue-operator"
_ACCESS = ("none", "token")
_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(ValueError):
    """The error of an environment variable whose value is not understood."""


@dataclass(frozen=True)
class Settings:
    """The settings in the environment; the module's table lists the variables."""

    namespaces: tuple[str, ...]
    """Served namespaces; empty means the whole cluster."""
    own_namespace: str
    """Where the Lease is."""
    identity: str
    """Name of this process's pod, which holds the Lease."""
    selector: Selector = field(default_factory=Selector)
    """Which TaskQueues are served, by their labels."""
    templates: bool = True
    """Whether Deployments are made for TaskQueues with `template`."""
    redis_allow: tuple[str, ...] = ()
    """Networks and names that may be connected to as a Redis; empty: all but special ones."""
    in_pod: bool = False
    """Whether this process runs in a pod: then nothing of interest listens on its own host."""
    leader_election: bool = True
    http_port: int = 8080
    metrics_access: Literal["none", "token"] = "none"
    gateway_port: int | None = None
    """Port of the gateway, on the loopback address; None: there is no gateway."""
    certificate: tuple[Path, Path] | None = None
    """Files of the port's TLS certificate and its key; without them it is plain HTTP."""
    log_level: str = "info"
    log_format: LogFormat = "json"
    timings: Timings = DEFAULTS
    """Not from the environment: see `timings`."""
    redis_aliases: Mapping[str, str] = field(default_factory=dict)
    """Where the Redis of some addresses really is, such as a socket file. Not from the environment:
    it is only used without Kubernetes."""

    @property
    def operator_name(self) -> str:
        """Name of all replicas that elect a leader by one Lease: its namespace and name."""
        return f"{self.own_namespace}/{LEASE_NAME}"

    @property
    def cluster_wide(self) -> bool:
        """Whether every namespace is served."""
        return not self.namespaces

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables of the module's table.

        Raises:
            SettingsError: a value is not understood; the message names the variable.
        """
        own = environment.get("POD_NAMESPACE") or _service_account_namespace() or "default"
        names = [name.strip() for name in environment.get("IDENTTQUEUE_NAMESPACES", "").split(",")]
        names = [name for name in names if name] or [own]
        if "*" in names and len(names) > 1:
            raise SettingsError("IDENTTQUEUE_NAMESPACES: '*' (the whole cluster) stands alone")
        return cls(
            namespaces=() if names == ["*"] else tuple(dict.fromkeys(names)),
            own_namespace=own,
            identity=environment.get("POD_NAME") or socket.gethostname(),
            selector=_selector(environment, "IDENTTQUEUE_LABEL_SELECTOR"),
            templates=_flag(environment, "IDENTTQUEUE_TEMPLATES", default=True),
            redis_allow=_allow(environment, "IDENTTQUEUE_REDIS_ALLOW"),
            in_pod=bool(_service_account_namespace()),
            leader_election=_flag(environment, "IDENTTQUEUE_LEADER_ELECTION", default=True),
            http_port=_port(environment, "IDENTTQUEUE_HTTP_PORT", default=8080),
            metrics_access=cast(
                "Literal['none', 'token']",
                _choice(environment, "IDENTTQUEUE_METRICS_ACCESS", _ACCESS, default="none"),
            ),
            gateway_port=_optional_port(environment, "IDENTTQUEUE_GATEWAY_PORT"),
            certificate=_certificate(environment),
            log_level=_choice(environment, "IDENTTQUEUE_LOG_LEVEL", _LEVELS, default="info"),
            log_format=cast(
                "LogFormat",
                _choice(environment, "IDENTTQUEUE_LOG_FORMAT", FORMATS, default="json"),
            ),
        )


def _allow(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    entries = tuple(e.strip() for e in environment.get(name, "").split(",") if e.strip())
    try:
        Reach(entries)
    except InvalidInput as error:
        raise SettingsError(f"{name}: {error}") from None
    return entries


_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*)?(?P<key>[\w./-]+)\s*"
    r"(?:(?P<set>\s(?:not)?in)\s*\((?P<values>[^()]*)\)|(?P<sign>==?|!=)\s*(?P<value>[\w.-]*))?\s*"
)


def _selector(environment: Mapping[str, str], name: str) -> Selector:
    """Read a label selector as kubectl writes it: `team=a,tier in (x,y),!legacy`."""
    text = environment.get(name, "").strip()
    expressions: list[tuple[str, str, tuple[str, ...]]] = []
    for part in re.split(r",(?![^()]*\))", text) if text else ():
        found = _REQUIREMENT.fullmatch(part)
        if found is None or (found["absent"] and (found["set"] or found["sign"])):
            raise SettingsError(f"{name} is {text!r}: use a label selector as for kubectl -l")
        if found["set"]:
            values = tuple(value.strip() for value in found["values"].split(","))
            operator = "In" if found["set"].strip() == "in" else "NotIn"
        elif found["sign"]:
            values, operator = (found["value"],), "NotIn" if found["sign"] == "!=" else "In"
        else:
            values, operator = (), "DoesNotExist" if found["absent"] else "Exists"
        expressions.append((found["key"], operator, values))
    return Selector(expressions=tuple(expressions))


def _service_account_namespace() -> str:
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return ""


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(name, "").strip().lower()
    if value in ("", "true", "1", "yes", "false", "0", "no"):
        return value in ("true", "1", "yes") if value else default
    raise SettingsError(f"{name} is {value!r}: use true or false")


def _certificate(environment: Mapping[str, str]) -> tuple[Path, Path] | None:
    cert, key = (environment.get(f"IDENTTQUEUE_TLS_{part}_FILE", "") for part in ("CERT", "KEY"))
    if bool(cert) != bool(key):
        raise SettingsError("IDENTTQUEUE_TLS_CERT_FILE and IDENTTQUEUE_TLS_KEY_FILE: give both")
    return (Path(cert), Path(key)) if cert else None


def _port(environment: Mapping[str, str], name: str, *, default: int) -> int:
    value = environment.get(name, "").strip()
    if not value:
        return default
    if value.isdecimal() and int(value) < 65_536:
        return int(value)
    raise SettingsError(f"{name} is {value!r}: use a port number")


def _optional_port(environment: Mapping[str, str], name: str) -> int | None:
    return _port(environment, name, default=0) if environment.get(name, "").strip() else None


def _choice(
    environment: Mapping[str, str], name: str, choices: tuple[str, ...], *, default: str
) -> str:
    value = environment.get(name, "").strip().lower() or default
    if value in choices:
        return value
    raise SettingsError(f"{name} is {value!r}: use one of {', '.join(choices)}")
