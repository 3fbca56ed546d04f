"""The base of the models of a resource: how they are written, and rules over several fields.

A rule is declared once, beside the model that it concerns. The API server checks it as CEL when a
resource is written. The operator checks it too, at each new spec: the API server may have stored
the resource before the rule existed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over several fields of a model."""

    cel: str
    """The rule as the API server checks it, with the model as `self`."""
    message: str
    broken: "Callable[[Any], bool | list[ApiModel]] | None" = None
    """Returns whether a model breaks the rule, or which of its items do. None: only the API server
    can check it, because it needs the state before a change (`oldSelf`)."""

    def problems(self, model: "ApiModel") -> Iterable[str]:
        """Return the message if the model breaks the rule, or once for each item that does."""
        found = self.broken(model) if self.broken else False
        if isinstance(found, list):
            return [f"{item.place}{self.message}" for item in found]
        return [self.message] if found else []


def cel(*rules: Rule) -> dict[str, Any]:
    """Declare rules in the schema, for the API server."""
    return {VALIDATIONS: [{"rule": rule.cel, "message": rule.message} for rule in rules]}


def _declare(schema: dict[str, Any], model: type["ApiModel"]) -> None:
    if model.rules:
        schema.update(cel(*model.rules))


class ApiModel(BaseModel):
    """Camel case outside, snake case inside; values never change after they were read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        json_schema_extra=_declare,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """The rules that both the API server and the operator check."""

    @property
    def place(self) -> str:
        """Where a problem of this model is, if it is one item of several: `trigger more: `."""
        return ""

    def other_problems(self) -> Iterable[str]:
        """Return what is wrong that no CEL rule of this model finds."""
        return ()

    def problems(self) -> list[str]:
        """List what is wrong with the model and those in it, as the API server would say it."""
        found = [text for rule in self.rules for text in rule.problems(self)]
        found += self.other_problems()
        for name in type(self).model_fields:
            value = getattr(self, name)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ApiModel):
                    found += [f"{child.place}{text}" for text in child.problems()]
        return found


def repeated(names: Iterable[str], what: str) -> Iterable[str]:
    """Return a problem if two of these have the same name, which the API server knows as list keys.

    Args:
        names: of all items.
        what: the items, in the plural.
    """
    names = list(names)
    return [] if len(set(names)) == len(names) else [f"{what} must have different names"]
