"""Retry policies: whether a failed attempt is retried, and when."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue.bounds import LONGEST_SECONDS
from identtqueue.errors import InvalidInput, Retry, TimedOut
from identtqueue.retry import Kinds, RetryPolicy, asked_seconds

SECONDS = st.floats(0.001, LONGEST_SECONDS)
FRACTIONS = st.floats(0, 1)
COUNTS = st.integers(0, 10_000)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    first, longest = sorted((draw(SECONDS), draw(SECONDS)))
    return RetryPolicy(
        max_retries=draw(COUNTS),
        first_delay_seconds=first,
        max_delay_seconds=longest,
        floor_fraction=draw(FRACTIONS),
    )


@given(policies(), COUNTS, st.none() | COUNTS)
def test_it_gives_up_after_exactly_max_retries(
    policy: RetryPolicy, failures: int, own: int | None
) -> None:
    limit = policy.max_retries if own is None else own
    delay = policy.delay_seconds(ValueError(), failures, max_retries=own)
    assert (delay is None) == (failures >= limit)


@given(policies(), COUNTS, st.randoms())
def test_the_delay_is_within_its_bounds(
    policy: RetryPolicy, failures: int, rng: random.Random
) -> None:
    delay = policy.delay_seconds(ValueError(), failures, max_retries=failures + 1, rng=rng)
    assert delay is not None
    ceiling = min(policy.max_delay_seconds, policy.first_delay_seconds * 2.0 ** min(failures, 1000))
    slack = 1 + 1e-9
    assert ceiling * policy.floor_fraction / slack <= delay <= ceiling * slack
    assert math.isfinite(delay)


@given(policies(), st.integers(0, 100))
def test_without_jitter_delays_double_and_never_shrink(policy: RetryPolicy, failures: int) -> None:
    steady = RetryPolicy(
        max_retries=1000,
        first_delay_seconds=policy.first_delay_seconds,
        max_delay_seconds=policy.max_delay_seconds,
        floor_fraction=1,
    )
    now = steady.delay_seconds(ValueError(), failures)
    then = steady.delay_seconds(ValueError(), failures + 1)
    assert now is not None
    assert then is not None
    assert then == pytest.approx(min(now * 2, policy.max_delay_seconds))


def test_the_defaults() -> None:
    assert RetryPolicy().delay_seconds(ValueError(), 0) is None
    policy = RetryPolicy(max_retries=100, floor_fraction=1)
    delays = [policy.delay_seconds(ValueError(), failures) for failures in range(10)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]


def test_a_given_source_of_jitter_makes_it_repeatable() -> None:
    policy = RetryPolicy(max_retries=9)
    one, two = (policy.delay_seconds(ValueError(), 3, rng=random.Random(7)) for _ in range(2))
    assert one == two


def test_some_errors_are_hopeless() -> None:
    policy = RetryPolicy(max_retries=9, retry_on=(OSError,), give_up_on=(FileNotFoundError,))
    assert policy.delay_seconds(ConnectionError(), 0) is not None
    assert policy.delay_seconds(FileNotFoundError(), 0) is None
    assert policy.delay_seconds(ValueError(), 0) is None


def test_giving_up_outranks_retrying() -> None:
    policy = RetryPolicy(max_retries=9, retry_on=(ValueError,), give_up_on=(Exception,))
    assert policy.delay_seconds(ValueError(), 0) is None


def test_by_default_what_is_no_exception_is_not_retried() -> None:
    assert RetryPolicy(max_retries=9).delay_seconds(SystemExit(), 0) is None


def test_a_task_may_forbid_retries() -> None:
    assert RetryPolicy(max_retries=9).delay_seconds(ValueError(), 0, max_retries=0) is None


@pytest.mark.parametrize("name", ["retry_on", "give_up_on"])
@pytest.mark.parametrize(
    "kinds", [[OSError], OSError, OSError | ValueError, ("OSError",), (int,), None]
)
def test_classes_are_given_as_a_tuple(name: str, kinds: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"{name}=.*as \(OSError, ValueError\)"):
        RetryPolicy(**{name: kinds})


@pytest.mark.parametrize(
    "setting",
    [
        {"max_retries": "3"},
        {"max_retries": 2.5},
        {"first_delay_seconds": "1"},
        {"max_delay_seconds": None},
        {"floor_fraction": "0"},
        {"max_retries": -1},
        {"first_delay_seconds": 0},
        {"first_delay_seconds": -1},
        {"first_delay_seconds": math.nan},
        {"first_delay_seconds": 301},
        {"max_delay_seconds": 0.5},
        {"max_delay_seconds": math.nan},
        {"max_delay_seconds": math.inf},
        {"floor_fraction": -0.1},
        {"floor_fraction": 1.1},
        {"floor_fraction": math.nan},
    ],
    ids=str,
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RetryPolicy(**setting)


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, LONGEST_SECONDS * 1.01])
def test_a_job_can_not_ask_for_nonsense(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="must be 0 to 100 years"):
        Retry(after_seconds=seconds)


@pytest.mark.parametrize("seconds", [None, 0, 0.5, 86_400])
def test_a_job_may_ask_for_its_own_delay(seconds: float | None) -> None:
    retry = Retry("not yet", after_seconds=seconds)
    assert (str(retry), retry.after_seconds) == ("not yet", seconds)


# --- exception groups, and what is known of an error from another process ---


class ScanErrors(ExceptionGroup[Exception]):
    """Class of exception groups that a service has defined."""


OS, VALUE, KEY = OSError("os"), ValueError("value"), KeyError("key")
WORTH_IT: dict[str, tuple[BaseException, dict[str, Any], bool]] = {
    "all are worth it": (ExceptionGroup("", [OS, TimeoutError()]), {"retry_on": (OSError,)}, True),
    "one is not": (ExceptionGroup("", [OS, VALUE]), {"retry_on": (OSError,)}, False),
    "a group in a group": (
        ExceptionGroup("", [OS, ExceptionGroup("", [VALUE])]),
        {"retry_on": (OSError,)},
        False,
    ),
    "one is given up": (ExceptionGroup("", [OS, KEY]), {"give_up_on": (LookupError,)}, False),
    "none is given up": (ExceptionGroup("", [OS, VALUE]), {"give_up_on": (LookupError,)}, True),
    "default": (ExceptionGroup("", [OS, VALUE]), {}, True),
    "default, one that exits": (BaseExceptionGroup("", [OS, SystemExit()]), {}, False),
    "its class is named": (ScanErrors("", [VALUE]), {"retry_on": (ScanErrors,)}, True),
    "another class is named": (ExceptionGroup("", [VALUE]), {"retry_on": (ScanErrors,)}, False),
    "its class is named, one is given up": (
        ScanErrors("", [VALUE, KEY]),
        {"retry_on": (ScanErrors,), "give_up_on": (KeyError,)},
        False,
    ),
    "its class is given up": (ScanErrors("", [VALUE]), {"give_up_on": (ExceptionGroup,)}, False),
    "all ask for it": (ExceptionGroup("", [Retry()]), {"give_up_on": (Exception,)}, True),
    "one asks, one is given up": (
        ExceptionGroup("", [Retry(), VALUE]),
        {"give_up_on": (ValueError,)},
        False,
    ),
    "one asks, one is worth it": (
        ExceptionGroup("", [Retry(), OS]),
        {"retry_on": (OSError,)},
        True,
    ),
    "a time-out by its builtin": (TimedOut("late"), {"retry_on": (TimeoutError,)}, True),
    "a time-out given up": (TimedOut("late"), {"give_up_on": (TimeoutError,)}, False),
    "a cancelled part": (asyncio.CancelledError(), {}, True),
    "a cancelled part, given up": (
        asyncio.CancelledError(),
        {"give_up_on": (asyncio.CancelledError,)},
        False,
    ),
    "a cancelled part, exceptions only": (
        asyncio.CancelledError(),
        {"retry_on": (Exception,)},
        False,
    ),
}


@pytest.mark.parametrize("case", WORTH_IT)
def test_what_is_worth_a_retry_here_and_from_another_process(case: str) -> None:
    error, setting, worth_it = WORTH_IT[case]
    policy = RetryPolicy(max_retries=9, **setting)
    assert (policy.delay_seconds(error, 0) is not None) is worth_it
    kinds = msgspec.msgpack.decode(msgspec.msgpack.encode(Kinds.of(error)), type=Kinds)
    assert (policy.delay_seconds(kinds, 0) is not None) is worth_it


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ValueError(), None),
        (Retry(after_seconds=3), 3),
        (ExceptionGroup("", [Retry(after_seconds=3), Retry(), Retry(after_seconds=7)]), 7),
        (ExceptionGroup("", [ExceptionGroup("", [Retry(after_seconds=3)]), ValueError()]), 3),
        (ExceptionGroup("", [ValueError()]), None),
    ],
)
def test_the_longest_wait_that_is_asked_for_counts(error: Exception, seconds: float | None) -> None:
    assert asked_seconds(error) == seconds
