"""The strategy as a class: what every strategy is given, and what it answers."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from pydantic.alias_generators import to_camel, to_snake

from identtqueue_operator.model import Depth, Traffic
from identtqueue_operator.schema import ApiModel


class Wish(NamedTuple):
    """The number of replicas that a strategy asks for."""

    replicas: int
    exact: float
    """The same, not rounded."""
    words: str
    """The calculation, for the status."""
    trigger: str = ""
    """Name of the trigger. Empty: the specification itself asks for it."""
    strategy: str = ""
    """Name of the strategy, with which the reason of the decision begins."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Everything that a strategy knows of the queues of its trigger."""

    depth: Depth
    traffic: Traffic | None
    startup_seconds: float
    """How long a pod takes from its creation until it is ready."""
    slots: int
    """How many tasks one replica runs at once."""

    @property
    def counts(self) -> str:
        """The tasks that need a worker: `3 queued + 12 due within 8 s + 1 in flight`."""
        depth = self.depth
        paused = f" ({depth.paused} more wait in a paused queue)" if depth.paused else ""
        held = f" ({depth.held} more are held by limits or pauses)" if depth.held else ""
        return f"{depth.waiting} queued{paused}{held}{self.due} + {depth.in_flight} in flight"

    @property
    def due(self) -> str:
        """The scheduled tasks that need a pod now: ` + 12 due within 8 s`; empty without any."""
        if not self.depth.due_soon:
            return ""
        return f" + {self.depth.due_soon} due within {math.ceil(self.depth.due_within_seconds)} s"


class ScalingStrategy(ApiModel):
    """A way to calculate the number of replicas: its settings, as fields, and the calculation.

    The class has the name that users write as `type`. Its settings stand in the field of that name
    in camel case, and the reasons of its decisions begin with it: `WaitTime`, `waitTime`,
    `WaitTimeAboveTarget`.
    """

    needs_settings: ClassVar[bool] = True
    """Whether a user must give settings. If not, `without_settings` makes them."""
    forgets: ClassVar[bool] = False
    """Whether the number falls in time without any event, so that it is worth looking again."""

    @classmethod
    def type_name(cls) -> str:
        """Return the value of `type`."""
        return cls.__name__

    @classmethod
    def field_name(cls) -> str:
        """Return the name of the field with the settings, as users write it."""
        return to_camel(to_snake(cls.__name__))

    @classmethod
    def without_settings(cls, slots: int) -> Self:
        """Return the strategy as it is if a user gives no settings.

        Args:
            slots: how many tasks one replica runs at once.
        """
        raise NotImplementedError(f"{cls.__name__} needs settings ({slots=})")

    @abstractmethod
    def wish(self, demand: Demand) -> Wish:
        """Calculate the number of replicas."""
