"""The settings that all clients take, without the clients: an app keeps them until it needs one."""

from __future__ import annotations

from typing import TypedDict

from identtqueue.checks import check_count, check_patience
from identtqueue.protocol import codec
from identtqueue.transport.settings import RETRY_FOR_SECONDS


class ClientKeywords(TypedDict, total=False):
    """The settings of a client as keyword arguments of an `App` (PEP 692)."""

    retry_for_seconds: float
    max_payload_bytes: int


def check_client_settings(
    retry_for_seconds: object = RETRY_FOR_SECONDS,
    max_payload_bytes: object = codec.DEFAULT_MAX_PAYLOAD_BYTES,
) -> None:
    """Check the settings of a client.

    Args:
        retry_for_seconds: see `Client`.
        max_payload_bytes: see `Client`.

    Raises:
        InvalidInput: a setting breaks a rule.
    """
    check_patience("retry_for_seconds", retry_for_seconds)
    check_count("max_payload_bytes", max_payload_bytes)
