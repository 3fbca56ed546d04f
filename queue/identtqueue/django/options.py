"""The `OPTIONS` of the backend in the setting `TASKS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from identtqueue.checks import check_duration
from identtqueue.client.settings import check_client_settings
from identtqueue.errors import InvalidInput
from identtqueue.protocol.codec import DEFAULT_MAX_PAYLOAD_BYTES
from identtqueue.retry import RetryPolicy
from identtqueue.task import TaskOptions
from identtqueue.transport.settings import RETRY_FOR_SECONDS, RedisSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """The options of a backend.

    Attributes:
        redis_address: address or settings of Redis; see `Client`. None: the address in
            `IDENTTQUEUE_REDIS_ADDRESS`.
        retry_for_seconds: how long an enqueue is retried while Redis can't be reached; see
            `Client`.
        max_payload_bytes: upper bound for the encoded arguments of a task.
        result_ttl_seconds: how long the result of a task can be read.
        enqueue_on_commit: whether a task is enqueued when the current database transaction
            commits, and not at all if it is rolled back.
        max_retries: how often a failed task runs again. `job_options` sets it for one task.

    Raises:
        InvalidInput: an option breaks a rule.
    """

    redis_address: str | RedisSettings | None = None
    retry_for_seconds: float = RETRY_FOR_SECONDS
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    result_ttl_seconds: float = TaskOptions().result_ttl_seconds
    enqueue_on_commit: bool = False
    max_retries: int = 0

    def __post_init__(self) -> None:
        RedisSettings.of(self.redis_address)
        check_client_settings(self.retry_for_seconds, self.max_payload_bytes)
        check_duration("result_ttl_seconds", self.result_ttl_seconds)
        if not isinstance(self.enqueue_on_commit, bool):
            raise InvalidInput(f"enqueue_on_commit={self.enqueue_on_commit!r}: give True or False")
        RetryPolicy(max_retries=self.max_retries)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> BackendOptions:
        """Read the value of `OPTIONS`.

        Raises:
            InvalidInput: it names an option that does not exist, or an option breaks a rule.
        """
        known = [entry.name for entry in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise InvalidInput(
                f"OPTIONS has no {', '.join(map(repr, unknown))}; it has: {', '.join(known)}"
            )
        return cls(**given)
