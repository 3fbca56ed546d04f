"""Answers that are remembered for a short time, so that few questions are asked twice."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The newest answers to a question.

    Args:
        clock: seconds, monotonic.
        seconds: how long an answer is fresh.
        most: most answers that are remembered; the oldest one gives way.
    """

    def __init__(self, clock: Callable[[], float], *, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._answers: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many answers are remembered, fresh or not."""
        return len(self._answers)

    def __contains__(self, key: K) -> bool:
        """Return whether an answer is remembered, fresh or not."""
        return key in self._answers

    def __getitem__(self, key: K) -> V:
        """Return an answer, fresh or not."""
        return self._answers[key][1]

    def is_fresh(self, key: K) -> bool:
        """Return whether an answer is remembered and still counts."""
        found = self._answers.get(key)
        return found is not None and self._clock() - found[0] < self._seconds

    def put(self, key: K, answer: V) -> None:
        """Remember an answer, in place of an older one."""
        self.forget(key)
        self._answers[key] = self._clock(), answer
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def forget(self, key: K) -> None:
        """Forget an answer, if there is one."""
        self._answers.pop(key, None)
