"""The texts of the resource: names, addresses, times, sentences, each with its bound."""

from typing import Annotated

from pydantic import Field, StringConstraints

QueueName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]{1,63}$", max_length=63)]
ObjectName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        min_length=1,
        max_length=253,
    ),
]
SecretKey = Annotated[
    str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)
]
CronText = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}$", max_length=128),
]
ApiVersion = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+$", min_length=1, max_length=317
    ),
]
KindName = Annotated[
    str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", min_length=1, max_length=63)
]
HOST_AND_PORT = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]\s/@,:?#]+)(:[0-9]{1,5})?"
ServerAddress = Annotated[
    str, StringConstraints(pattern=f"^{HOST_AND_PORT}$", min_length=1, max_length=261)
]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 64})]
"""RFC 3339 in UTC, as Kubernetes writes it: `2026-01-31T12:00:00Z`."""
Word = Annotated[str, Field(json_schema_extra={"maxLength": 1_024})]
"""A reason: one word. The bound is that of `reason` in Kubernetes' own conditions."""
Sentence = Annotated[str, Field(json_schema_extra={"maxLength": 1_024})]
"""A text of the status. `status.render` cuts it to this length before it is written."""
LeaseName = Annotated[str, Field(json_schema_extra={"maxLength": 63 + 1 + 253})]
"""Namespace and name of a Lease: `identtqueue/identtqueue-operator`."""
