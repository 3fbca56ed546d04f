"""The names of a queue: in identtqueue 0.2 and today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from identtqueue.protocol.keys import BridgeKeys
from identtqueue.task import check_queue_name


@dataclass(frozen=True, slots=True)
class BridgedQueue:
    """A queue on both sides of the bridge.

    Attributes:
        old: its name in 0.2, which may be any text.
        name: its name today.
        keys: the keys of 0.2 and of the bridge.

    Raises:
        InvalidQueueName: a name breaks the rule.
    """

    old: str
    name: str
    keys: BridgeKeys = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", BridgeKeys(self.old, self.name))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the names from `mrz`, or `MRZ jobs=mrz` if 0.2 has another one.

        Args:
            text: today's name, after the old one and `=` if they differ.

        Raises:
            InvalidQueueName: a name breaks the rule.
        """
        old, _, name = text.rpartition("=")
        return cls(old or name, check_queue_name(name))

    def old_id(self, task_id: str) -> str:
        """Return the id that an adopted task has in 0.2."""
        return task_id.removeprefix(f"{self.name}:")

    def task_id(self, old_id: str) -> str:
        """Return the id of the task that a request becomes."""
        return f"{self.name}:{old_id}"
