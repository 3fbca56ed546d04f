"""Cron schedules: when an expression fires, and the task id of each firing. No I/O.

Every worker plans the *next* firing under an id made from the schedule's name and the firing's
time. An id exists only once, so each firing happens once, without a leader. All workers use Redis
time, so skewed host clocks can't cause a second firing either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import msgspec

from identtqueue.checks import check_function_name
from identtqueue.errors import InvalidInput
from identtqueue.task import QUEUE_NAME, TaskOptions, check_queue_name

CRON_MARK: Final = ":cron."
"""Part of the task id of each firing of a schedule."""

_FIRED: Final = "%Y%m%dT%H%M%SZ"


def due_at_ms(task_id: str) -> int | None:
    """Return when a firing of a schedule was due, in ms since 1970.

    Args:
        task_id: id of a task.

    Returns:
        None if the task is no firing of a schedule.
    """
    _, is_firing, name = task_id.partition(CRON_MARK)
    try:
        due = datetime.strptime(name.rpartition(".")[2], _FIRED).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(due.timestamp() * 1000) if is_firing else None


class CronExpression(msgspec.Struct, frozen=True):
    """A cron expression in a time zone.

    Attributes:
        text: five fields (`*/5 * * * *`), or six with seconds first, as cronsim reads them.
        timezone: IANA name. For local times that a DST change skips or repeats, cronsim follows
            the rules of Debian's cron if there are five fields. With six fields, a time that is
            skipped does not fire, and a time that is repeated fires twice.

    Raises:
        InvalidInput: the expression or the time zone can't be read.
    """

    text: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        for name in ("text", "timezone"):
            if not isinstance(getattr(self, name), str):
                raise InvalidInput(f"{name}={getattr(self, name)!r}: must be text")
        try:
            _zone(self.timezone)
        except (LookupError, ValueError, OSError) as error:  # unknown, a folder, a long name
            raise InvalidInput(f"no timezone {self.timezone!r}") from error
        try:
            _firings(self.text, datetime.now(UTC))
        except ValueError as error:
            raise InvalidInput(f"{self.text!r}: {error}") from error

    def next_after(self, at: float) -> float | None:
        """Return the first firing after `at`, both in seconds since 1970; None if there is none."""
        start = datetime.fromtimestamp(at, _zone(self.timezone))
        return next((fire for fire in self._from(start) if fire > at), None)

    def last_until(self, at: float) -> float | None:
        """Return the last firing up to `at`, both in seconds since 1970; None if there is none."""
        end = datetime.fromtimestamp(int(at) + 1, _zone(self.timezone))
        before = next(_firings(self.text, end, reverse=True), None)
        if before is None:
            return None
        last = before.timestamp()
        for fire in self._from(before):
            if fire > at:
                break
            last = fire
        return last

    def _from(self, start: datetime) -> Iterator[float]:
        """Iterate over the firings after a moment, and perhaps some shortly before it.

        cronsim counts in local time: in the hour that a DST change repeats, it yields the firings
        of the first pass again. So callers must compare each firing with their moment.
        """
        return (fire.timestamp() for fire in _firings(self.text, start))


def _zone(name: str) -> tzinfo:
    # Imported late, as cronsim: most workers have no schedule.
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    return ZoneInfo(name)


def _firings(text: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Iterate over the firings of a cron expression.

    Raises:
        ValueError: the expression can't be read.
    """
    from cronsim import CronSim, CronSimError  # noqa: PLC0415

    try:
        return CronSim(text, start, reverse=reverse)
    except CronSimError as error:
        raise ValueError(str(error)) from error


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule: a job that is enqueued at the times of a cron expression.

    Attributes:
        name: name of the schedule; unique within the queue.
        function_name: name of the job to run.
        expression, timezone: when it fires; see `CronExpression`.
        queue: where it is enqueued; None: the worker's first queue.
        args, kwargs: arguments of the job.
        options: options of each firing's task. `expires_seconds` counts from the time of the
            firing. A firing is skipped if another task holds its `unique_key` at that time.

    Raises:
        InvalidInput: an attribute breaks a rule.
    """

    name: str
    function_name: str
    expression: str
    queue: str | None = None
    timezone: str = "UTC"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)
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
            raise InvalidInput(f"cron {self.name}: args must be a tuple and kwargs a dict")
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
        """Return the first firing after `now_ms`, both in ms since 1970; None if there is none."""
        fire = CronExpression(self.expression, self.timezone).next_after(now_ms / 1000)
        return None if fire is None else int(fire * 1000)

    def definition(self, payload: bytes, options: Mapping[str, Any]) -> str:
        """Hash all that the schedule declares, to distinguish a new release from the old one.

        Args:
            payload: the encoded task.
            options: the options of the task, as they are enqueued.

        Returns:
            16 hexadecimal digits.
        """
        said = (self.expression, self.timezone, self.function_name, sorted(options.items()))
        return hashlib.sha256(repr(said).encode() + payload).hexdigest()[:16]

    def task_id(self, queue: str, fire_ms: int) -> str:
        """Return the task id of a firing: `<queue>:cron.<name>.<UTC time>`.

        Args:
            queue: the queue in which the schedule fires.
            fire_ms: time of the firing, in ms since 1970.
        """
        fired = datetime.fromtimestamp(fire_ms / 1000, UTC)
        return f"{queue}{CRON_MARK}{self.name}.{fired:{_FIRED}}"
