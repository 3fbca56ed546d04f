"""The strategies that there are, as a user chooses one: by its type, with its settings."""

from typing import Literal

from pydantic.alias_generators import to_snake

from identtqueue_operator.schema import ApiModel, Rule
from identtqueue_operator.strategies.backlog import Backlog
from identtqueue_operator.strategies.base import ScalingStrategy
from identtqueue_operator.strategies.wait_time import WaitTime

StrategyClass = type[ScalingStrategy]

STRATEGIES: tuple[StrategyClass, ...] = (Backlog, WaitTime)


def _settings_rule(strategy: StrategyClass) -> Rule:
    """Tie the settings to the type: only that type may have them, and one that needs them must."""
    name, field = strategy.type_name(), strategy.field_name()
    if strategy.needs_settings:
        return Rule(
            f"(self.type == '{name}') == has(self.{field})",
            f"type {name} needs {field}, and only it may have it",
            lambda choice: (choice.type == name) != (choice.settings(strategy) is not None),
        )
    return Rule(
        f"self.type == '{name}' || !has(self.{field})",
        f"{field} needs type {name}",
        lambda choice: choice.type != name and choice.settings(strategy) is not None,
    )


class Strategy(ApiModel):
    """How the wanted number of replicas is calculated from the queues."""

    rules = tuple(_settings_rule(strategy) for strategy in STRATEGIES)

    type: Literal["Backlog", "WaitTime"] = "Backlog"
    """Backlog goes by the number of tasks, WaitTime by how long they wait. Default: Backlog."""
    backlog: Backlog | None = None
    """Settings of type Backlog. Without them tasksPerReplica is concurrencyPerReplica."""
    wait_time: WaitTime | None = None
    """Settings of type WaitTime, which needs them."""

    def settings(self, strategy: StrategyClass) -> ScalingStrategy | None:
        """Return the settings of one strategy; None if there are none."""
        found: ScalingStrategy | None = getattr(self, to_snake(strategy.__name__))
        return found

    def chosen(self, slots: int) -> ScalingStrategy:
        """Return the strategy of the given type, with its settings.

        Args:
            slots: how many tasks one replica runs at once.
        """
        (strategy,) = (each for each in STRATEGIES if each.type_name() == self.type)
        return self.settings(strategy) or strategy.without_settings(slots)
