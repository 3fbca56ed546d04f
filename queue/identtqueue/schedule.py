"""Pure: when a cron expression fires, and the id of each firing of a cron job.

Every worker plans the *next* firing under an id made from the schedule's name and the firing's
time. The id exists once, so the firing does, without a leader. All use Redis time, so skewed
host clocks can't fire twice either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from identtqueue.checks import check_function_name
from identtqueue.errors import InvalidInput
from identtqueue.task import QUEUE_NAME, TaskOptions, check_queue_name


@dataclass(frozen=True, slots=True)
class CronExpression:
    """Moments by the clock on the wall.

    Attributes:
        text: five fields (`*/5 * * * *`), or six with seconds first, as cronsim reads them.
        timezone: IANA name; local times that a DST change skips or repeats follow cronsim
            (Debian cron's rules).

    Raises:
        InvalidInput: one of them means nothing.
    """

    text: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        for name in ("text", "timezone"):
            if not isinstance(getattr(self, name), str):
                raise InvalidInput(f"{name}={getattr(self, name)!r}: must be text")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder, a long name
            raise InvalidInput(f"no timezone {self.timezone!r}") from error
        try:
            CronSim(self.text, datetime.now(UTC))
        except CronSimError as error:
            raise InvalidInput(f"{self.text!r}: {error}") from error

    def next_after(self, at: float) -> float | None:
        """The first firing after `at` (both seconds since 1970), or None: never again."""
        start = datetime.fromtimestamp(at, ZoneInfo(self.timezone))
        return next((fire for fire in self._from(start) if fire > at), None)

    def last_until(self, at: float) -> float | None:
        """The last firing not after `at` (both seconds since 1970), or None: never yet."""
        end = datetime.fromtimestamp(int(at) + 1, ZoneInfo(self.timezone))
        before = next(CronSim(self.text, end, reverse=True), None)
        if before is None:
            return None
        last = before.timestamp()
        for fire in self._from(before):
            if fire > at:
                break
            last = fire
        return last

    def _from(self, start: datetime) -> Iterator[float]:
        """The firings after a moment, and perhaps one shortly before it.

        cronsim goes by the clock on the wall: in the hour that a DST change repeats, what fired
        in its first pass comes again. The callers compare, so that nobody fires twice.
        """
        return (fire.timestamp() for fire in CronSim(self.text, start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A job that is enqueued by the clock.

    Attributes:
        name: of the schedule; unique within the queue.
        function_name: the job to run.
        expression, timezone: when; see `CronExpression`.
        queue: default: the worker's first queue.
        args, kwargs: handed to the job.
        options: of each firing, as of any task: `expires_seconds` counts from its time on, and a
            `unique_key` leaves a firing out while another task has the key then.
    """

    name: str
    function_name: str
    expression: str
    queue: str | None = None
    timezone: str = "UTC"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: TaskOptions | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and QUEUE_NAME.fullmatch(self.name)):
            raise InvalidInput(  # the name is part of a task id
                f"cron name {self.name!r} is not valid: use 1 to 63 of a-z, 0-9, '.', '_' and '-'"
            )
        check_function_name(self.function_name)
        if self.queue is not None:
            check_queue_name(self.queue)
        if not (isinstance(self.args, Sequence) and isinstance(self.kwargs, Mapping)):
            raise InvalidInput(
                f"cron {self.name}: give a tuple as args and names with values as kwargs"
            )
        self._check_options()
        try:
            CronExpression(self.expression, self.timezone)
        except InvalidInput as error:
            raise InvalidInput(f"cron {self.name}: {error}") from error

    def _check_options(self) -> None:
        if self.options is None:
            return
        if not isinstance(self.options, TaskOptions):
            raise InvalidInput(f"cron {self.name}: options={self.options!r}: give TaskOptions(…)")
        default = TaskOptions()
        for option in ("task_id", "delay_seconds", "at", "on_existing"):
            if getattr(self.options, option) != getattr(default, option):
                raise InvalidInput(
                    f"cron {self.name}: {option} means nothing here: the schedule gives each "
                    "firing its id and its time"
                )

    def next_fire_ms(self, now_ms: int) -> int | None:
        """The first firing after `now_ms` (both ms since 1970), or None: never again."""
        fire = CronExpression(self.expression, self.timezone).next_after(now_ms / 1000)
        return None if fire is None else int(fire * 1000)

    def definition(self, payload: bytes, options: Mapping[str, Any]) -> str:
        """A hash of all that is declared, so that a new release is told from the old one.

        Args:
            payload: the encoded task.
            options: of the task, encodable.
        """
        said = (self.expression, self.timezone, self.function_name, sorted(options.items()))
        return hashlib.sha256(repr(said).encode() + payload).hexdigest()[:16]

    def task_id(self, queue: str, fire_ms: int) -> str:
        """The one id of that firing: `<queue>:cron.<name>.<UTC time>`."""
        fired = datetime.fromtimestamp(fire_ms / 1000, UTC)
        return f"{queue}:cron.{self.name}.{fired:%Y%m%dT%H%M%SZ}"
