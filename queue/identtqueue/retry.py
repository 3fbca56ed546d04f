"""The retry policy: whether a failed attempt runs again, and when. Pure functions, no I/O."""

from __future__ import annotations

import random
from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any

import msgspec

from identtqueue.bounds import is_number
from identtqueue.errors import InvalidInput, Retry


def class_name(kind: type) -> str:
    """Return `module.Class`, or only `Class` for a builtin."""
    # `__mp_main__` is the name that the worker's `__main__` has in the processes of its jobs.
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


class Kinds(msgspec.Struct, frozen=True, array_like=True):
    """The class names of an error from another process, which is all that the policy needs.

    Attributes:
        names: names of the error's class and of its base classes, by `class_name`.
        parts: the same for each error in an exception group.
    """

    names: frozenset[str]
    parts: tuple[Kinds, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Kinds:
        """Collect the class names of an error."""
        names = frozenset(class_name(kind) for kind in type(error).__mro__)
        return cls(names, tuple(cls.of(part) for part in _exceptions(error)))


def is_one_of(error: BaseException | Kinds, kinds: tuple[type[BaseException], ...]) -> bool:
    """Check like `isinstance`, also for an error of which only the class names are known.

    Args:
        error: the error, or its class names.
        kinds: exception classes.
    """
    if isinstance(error, Kinds):
        return any(class_name(kind) in error.names for kind in kinds)
    return isinstance(error, kinds)


def _exceptions(error: BaseException) -> Sequence[BaseException]:
    """Return the errors in an exception group; empty for any other error."""
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _parts(error: BaseException | Kinds) -> Sequence[BaseException | Kinds]:
    return error.parts if isinstance(error, Kinds) else _exceptions(error)


def asked_seconds(error: BaseException) -> Any:
    """Find the `after_seconds` that a job asked for by raising `Retry`.

    Returns:
        The longest time in an exception group; None if the job asks for none. The job wrote the
        value, so it may be of any type.
    """
    if isinstance(error, Retry):
        return error.after_seconds
    asked = [asked_seconds(part) for part in _exceptions(error)]
    return max((seconds for seconds in asked if seconds is not None), default=None)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A retry policy: exponential back-off with full jitter.

    The n-th retry waits a random time in [0, min(max_delay, first_delay * 2**(n-1))]. Full jitter
    is the best way to spread the retries of many tasks that failed together (Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015). At least `floor_fraction` of the upper bound
    is always waited, so that a retry is never immediate.

    An exception group is retried if every error in it is worth a retry. It counts as one error
    only if a class of groups is named itself, as in `retry_on=(ScanErrors,)` or
    `give_up_on=(ExceptionGroup,)`. Even then `give_up_on` looks at the errors in it as well.

    Attributes:
        max_retries: how often a failed task runs again; a task's own `max_retries` wins.
        first_delay_seconds, max_delay_seconds: bounds of the delay, before the jitter.
        floor_fraction: share of the delay that is always waited, 0 to 1.
        retry_on: tuple of exception classes that are worth a retry, with their subclasses. Any
            other error makes the task a dead letter at once. The default is every `Exception`,
            and the `CancelledError` of something that the job awaited, but not `SystemExit`, say.
        give_up_on: tuple of exception classes that are never retried, whatever `retry_on` says.

    Raises:
        InvalidInput: an attribute breaks a rule.
    """

    max_retries: int = 0
    first_delay_seconds: float = 1.0
    max_delay_seconds: float = 300.0
    floor_fraction: float = 0.5
    retry_on: tuple[type[BaseException], ...] = (Exception, CancelledError)
    give_up_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if not is_number(self.max_retries, int):
            raise InvalidInput(
                f"max_retries={self.max_retries!r}: must be a whole number, 0 or more"
            )
        if not (is_number(self.floor_fraction) and self.floor_fraction <= 1):
            raise InvalidInput(f"floor_fraction={self.floor_fraction!r}: must be within 0 and 1")
        first, longest = self.first_delay_seconds, self.max_delay_seconds
        if not (is_number(first) and is_number(longest) and 0 < first <= longest):
            raise InvalidInput(
                f"first_delay_seconds={first!r}, max_delay_seconds={longest!r}: "
                "0 < first_delay_seconds <= max_delay_seconds <= 100 years must hold"
            )
        _check_kinds("retry_on", self.retry_on)
        _check_kinds("give_up_on", self.give_up_on)

    def delay_seconds(
        self,
        error: BaseException | Kinds,
        failures: int,
        *,
        max_retries: int | None = None,
        rng: random.Random | None = None,
    ) -> float | None:
        """Decide after how many seconds a failed task runs again.

        Args:
            error: the error that the attempt raised, or its class names if it was raised in
                another process.
            failures: how many attempts of this task have failed before.
            max_retries: the task's own limit, if it has one.
            rng: source of the jitter; default: the module `random`.

        Returns:
            Seconds until the next run; None if the task must not run again.
        """
        limit = self.max_retries if max_retries is None else max_retries
        if failures >= limit:
            return None
        if not self._is_worth_it(error):
            return None
        exponent = min(failures, 62)  # keeps the product finite; 2.0**62 s is for ever anyway
        ceiling = min(self.max_delay_seconds, self.first_delay_seconds * 2.0**exponent)
        jitter = (rng or random).uniform(self.floor_fraction, 1.0)
        return ceiling * jitter

    def _is_worth_it(self, error: BaseException | Kinds) -> bool:
        if is_one_of(error, (Retry,)):
            return True  # the job asks for it
        if self._is_given_up(error):
            return False
        parts = _parts(error)
        if parts and not is_one_of(error, _groups(self.retry_on)):
            return all(self._is_worth_it(part) for part in parts)
        return is_one_of(error, self.retry_on)

    def _is_given_up(self, error: BaseException | Kinds) -> bool:
        if is_one_of(error, (Retry,)):
            return False
        parts = _parts(error)
        kinds = _groups(self.give_up_on) if parts else self.give_up_on
        return is_one_of(error, kinds) or any(self._is_given_up(part) for part in parts)


def _groups(kinds: tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    return tuple(kind for kind in kinds if issubclass(kind, BaseExceptionGroup))


def _check_kinds(name: str, kinds: object) -> None:
    """Check that a setting is a tuple of exception classes.

    `isinstance` would also accept a bare class or a union, but those can't be compared by name with
    an error from another process.

    Raises:
        InvalidInput: it is anything else.
    """
    good = isinstance(kinds, tuple) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
    )
    if not good:
        raise InvalidInput(
            f"{name}={kinds!r}: give a tuple of exception classes, such as (OSError, ValueError)"
        )
