"""Keys, from the bytes that a terminal sends for them."""

from __future__ import annotations

import codecs
import re
from typing import Final

ESCAPE_SECONDS: Final = 0.1
"""How long the rest of a key may take after its escape character. On a slow link the bytes of one
key may come apart. After this time the character alone is the key Escape."""

_NAMES: Final = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "F": "end",
    "H": "home",
    "1~": "home",
    "4~": "end",
    "5~": "page up",
    "6~": "page down",
    "7~": "home",
    "8~": "end",
}
_PLAIN: Final = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\t": "tab"}
_SEQUENCE: Final = re.compile(r"\x1b(?:\[|O)([0-9;]*[A-Za-z~])")
_UNFINISHED: Final = re.compile(r"\x1b(?:(?:\[[0-9;]*|O))?")


class Keys:
    """The keys in a stream of bytes, which may break off within a key."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    @property
    def unfinished(self) -> bool:
        """Whether the last bytes may be the beginning of a key."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[str]:
        """Add bytes, and return the keys that are complete now: a character, or a name as `up`."""
        self._text += self._decoder.decode(data)
        found: list[str] = []
        while self._text and not _UNFINISHED.fullmatch(self._text):
            found += self._next()
        return found

    def give_up(self) -> list[str]:
        """Take what is unfinished as the key Escape, since nothing has followed for a while."""
        unfinished, self._text = self._text, ""
        return ["escape"] if unfinished else []

    def _next(self) -> list[str]:
        if sequence := _SEQUENCE.match(self._text):
            self._text = self._text[sequence.end() :]
            name = _NAMES.get(sequence[1])
            return [name] if name else []  # other keys mean nothing here
        char, self._text = self._text[0], self._text[1:]
        if char == "\x1b":
            return ["escape"]
        return [_PLAIN.get(char, char)]
