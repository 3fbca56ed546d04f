"""The models of queues, and of the Redis that holds them, as a user writes both."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from identtqueue.admin import RedisSettings
from identtqueue.errors import InvalidInput
from identtqueue_operator.api.v1alpha1.types import (
    HOST_AND_PORT,
    ObjectName,
    QueueName,
    SecretKey,
    ServerAddress,
)
from identtqueue_operator.schema import ApiModel, Rule


class Queue(ApiModel):
    """One queue that the workload serves."""

    name: QueueName
    """Name of the queue, as producers write it."""
    weight: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Share of this queue while several queues have tasks. Default: 1. With
    `template` the operator sets it in the workers' environment; with `workloadRef`, set it there
    (`IDENTTQUEUE_QUEUES=mrz:3,default`)."""


Queues = Annotated[
    list[Queue],
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
]
"""Queue names, each once."""


class CredentialsSecretRef(ApiModel):
    """A Secret in the TaskQueue's namespace with the Redis password, and a user name for ACLs."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    username_key: SecretKey | None = None
    """Key of the user name in the Secret. Without it, the default Redis user logs in."""
    password_key: SecretKey = "password"  # noqa: S105 - the name of a key
    """Key of the password in the Secret. Default: password."""


class SecretKeyRef(ApiModel):
    """One key of a Secret in the TaskQueue's namespace."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    key: SecretKey = "ca.crt"
    """Key of the PEM certificates in the Secret. Default: ca.crt."""


class ClientCertSecretRef(ApiModel):
    """A Secret with a client certificate, in the form of type kubernetes.io/tls."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    cert_key: SecretKey = "tls.crt"
    """Key of the PEM certificate (with its chain) in the Secret. Default: tls.crt."""
    key_key: SecretKey = "tls.key"
    """Key of the PEM private key, not encrypted, in the Secret. Default: tls.key."""


class Tls(ApiModel):
    """TLS to Redis, and to its Sentinels."""

    rules = (
        Rule(
            "self.enabled || !has(self.caSecretRef)",
            "caSecretRef needs tls.enabled",
            lambda tls: not tls.enabled and tls.ca_secret_ref is not None,
        ),
        Rule(
            "self.enabled || !has(self.clientCertSecretRef)",
            "clientCertSecretRef needs tls.enabled",
            lambda tls: not tls.enabled and tls.client_cert_secret_ref is not None,
        ),
    )

    enabled: bool = True
    """Whether connections use TLS. Default: true, if `tls` is given at all."""
    ca_secret_ref: SecretKeyRef | None = None
    """PEM bundle of the authority that signed the server's certificate. Without it the system's
    authorities are trusted."""
    client_cert_secret_ref: ClientCertSecretRef | None = None
    """Client certificate, for a server that requires one."""


class Sentinel(ApiModel):
    """Sentinels, which are asked for the master each time a connection is made."""

    addresses: Annotated[list[ServerAddress], Field(min_length=1, max_length=16)]
    """`host:port` of each Sentinel; without a port, 26379."""
    master_name: Annotated[
        str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)
    ]
    """Name by which the Sentinels know the master."""
    database: Annotated[int, Field(ge=0, le=999)] = 0
    """Number of the Redis database. Default: 0."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for the Sentinels, if they require one."""


class RedisCluster(ApiModel):
    """A Redis Cluster, which spreads the queues over its nodes."""

    addresses: Annotated[list[ServerAddress], Field(min_length=1, max_length=64)]
    """`host:port` of some of its nodes, which name the others; without a port, 6379."""


class Redis(ApiModel):
    """The Redis that holds the queues: one server, a master behind Sentinels, or a cluster."""

    rules = (
        Rule(
            "[has(self.address), has(self.sentinel), has(self.cluster)].filter(x, x).size() == 1",
            "exactly one of address, sentinel and cluster must be given",
            lambda redis: not redis.is_one,
        ),
    )

    address: (
        Annotated[
            str,
            StringConstraints(
                pattern=f"^(rediss?://)?{HOST_AND_PORT}(/[0-9]{{1,3}})?/?$", max_length=512
            ),
        ]
        | None
    ) = None
    """`host:port`, or a URL `redis://host:port/db`. Credentials do not belong here (they would be
    readable by everyone who can read the resource): use credentialsSecretRef."""
    sentinel: Sentinel | None = None
    """A master behind Sentinels, in place of `address`."""
    cluster: RedisCluster | None = None
    """A Redis Cluster, in place of `address`."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for Redis. Without it the operator and the template's workers connect without one."""
    worker_credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for the template's workers, if it differs from the operator's: a user with the rules
    of `identtqueue acl worker`. The operator never reads this Secret. Without it, workers use
    credentialsSecretRef, whose user then needs the rules of both roles."""
    tls: Tls | None = None
    """TLS to Redis. Without it a `rediss://` address uses TLS with the system's authorities."""

    @property
    def is_one(self) -> bool:
        """Whether exactly one address is given."""
        return sum(each is not None for each in (self.address, self.sentinel, self.cluster)) == 1

    def other_problems(self) -> Iterable[str]:
        """Return what is wrong with the address, such as a port beyond 65535."""
        try:
            if self.is_one:
                RedisSettings(address=self.url)
        except InvalidInput as error:
            return [str(error)]
        return []

    @property
    def url(self) -> str:
        """The address as the library wants it, `rediss://` where TLS is on."""
        address = self.address or ""
        tls = self.tls.enabled if self.tls else address.startswith("rediss://")
        scheme = "rediss" if tls else "redis"
        if self.sentinel:
            hosts, name = ",".join(self.sentinel.addresses), self.sentinel.master_name
            return f"{scheme}+sentinel://{hosts}/{name}/{self.sentinel.database}"
        if self.cluster:
            return f"{scheme}+cluster://{','.join(self.cluster.addresses)}"
        return f"{scheme}://{address.removeprefix('redis://').removeprefix('rediss://')}"
