"""Pure: when a cron job fires, and the id of each firing.

Every worker enqueues the *next* firing under an id made from the job's name and the firing's
time. The id exists once, so the firing does, without a leader. All use Redis time, so skewed
host clocks can't fire twice either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from identtqueue.errors import InvalidInput
from identtqueue.task import check_queue_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A job that is enqueued by the clock.

    Attributes:
        name: of the schedule; unique within the queue.
        function_name: the job to run.
        expression: five fields (`*/5 * * * *`), or six with seconds first, as cronsim reads them.
        queue: default: the worker's first queue.
        timezone: IANA name; local times that a DST change skips or repeats follow cronsim
            (Debian cron's rules).
        args, kwargs: handed to the job.
    """

    name: str
    function_name: str
    expression: str
    queue: str | None = None
    timezone: str = "UTC"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_queue_name(self.name)  # the same alphabet: the name is part of a task id
        if self.queue is not None:
            check_queue_name(self.queue)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder, a long name
            raise InvalidInput(f"cron {self.name}: no timezone {self.timezone!r}") from error
        try:
            CronSim(self.expression, datetime.now(UTC))
        except CronSimError as error:
            raise InvalidInput(f"cron {self.name}: {self.expression!r}: {error}") from error

    def next_fire_ms(self, now_ms: int) -> int | None:
        """The first firing after `now_ms` (both ms since 1970), or None: never again."""
        now = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(self.timezone))
        try:
            return int(next(CronSim(self.expression, now)).timestamp() * 1000)
        except StopIteration:
            return None

    def task_id(self, queue: str, fire_ms: int) -> str:
        """The one id of that firing: `<queue>:cron.<name>.<UTC time>`."""
        fired = datetime.fromtimestamp(fire_ms / 1000, UTC)
        return f"{queue}:cron.{self.name}.{fired:%Y%m%dT%H%M%SZ}"
