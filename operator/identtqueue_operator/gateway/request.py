"""A request that has passed the checks: who asks, for which TaskQueue, and with which words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from identtqueue_operator.gateway.callers import Caller, Callers, Part, Right
from identtqueue_operator.gateway.directory import Directory
from identtqueue_operator.gateway.refusals import bad_request
from identtqueue_operator.model import Key

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request of a caller who has the right to it.

    Attributes:
        directory: finds the queues of the TaskQueue.
        caller: who asks.
        key: of the TaskQueue.
        words: the parameters of the URL, or the fields of the body.
        task_id: the task that the URL names; empty: it names none.
    """

    directory: Directory
    callers: Callers = field(repr=False)
    caller: Caller
    key: Key
    words: Mapping[str, Any]
    task_id: str = ""

    async def may(self, verb: str, part: Part) -> bool:
        """Return whether the caller has a further right to this TaskQueue.

        Raises:
            Refused: the API server can't be asked.
        """
        return await self.callers.may(self.caller, Right(verb, part), self.key)

    async def check(self, verb: str, part: Part) -> None:
        """Make sure of a further right.

        Raises:
            Refused: the caller lacks it.
        """
        await self.callers.check(self.caller, Right(verb, part), self.key)

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter.

        Raises:
            Refused: it is no text.
        """
        value = self.words.get(name, default)
        if not isinstance(value, str):
            raise bad_request(f"{name} must be text")
        return value

    def texts(self, name: str, most: int) -> list[str]:
        """Return a parameter that is a list of texts; without it, an empty list.

        Raises:
            Refused: it is something else, or longer than `most`.
        """
        value = self.words.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise bad_request(f"{name} must be a list of texts")
        if len(value) > most:
            raise bad_request(f"{name} may have {most} entries at most, not {len(value)}")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """Return a parameter that is a whole number, 1 or more.

        Raises:
            Refused: it is something else, or larger than `most`.
        """
        text = str(self.words.get(name, default))
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            raise bad_request(f"{name}={text!r}: must be a whole number, 1 to {most}")
        return int(text)

    def filter_words(self) -> dict[str, str]:
        """Return the conditions for tasks, as `Filter.parse` takes them.

        Raises:
            Refused: they are no texts by name.
        """
        value = self.words.get("filter") or {}
        if not isinstance(value, Mapping):
            raise bad_request("filter must be an object")
        words = {str(name): text for name, text in value.items()}
        if not all(isinstance(text, str) for text in words.values()):
            raise bad_request("each condition of the filter must be a text")
        return words
