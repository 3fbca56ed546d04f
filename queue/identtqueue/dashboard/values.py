"""Arguments, results and progress as text: like JSON, indented, and never longer than asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final

SHOWN: Final = 4_000
"""Characters of a value on a page. A page of its own has the rest."""
WHOLE: Final = 20_000_000
"""Characters of a value on a page of its own."""
DEEPEST: Final = 60
"""Levels of lists and mappings that are shown."""

_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Written:
    """A value as text.

    Attributes:
        text: the text, or its beginning.
        is_cut: whether something is missing at its end.
    """

    text: str
    is_cut: bool = False

    @property
    def is_long(self) -> bool:
        """Whether a page should fold it."""
        return self.is_cut or len(self.text) > 600 or self.text.count("\n") > 12

    @property
    def summary(self) -> str:
        """Its beginning in one line, for what is folded."""
        line = " ".join(self.text[:400].split())
        return line if len(line) <= 100 else f"{line[:100]}…"


def written(value: Any, most: int = SHOWN) -> Written:
    """Write a value. Costs no more than what is written, however large the value is.

    Args:
        value: of the wire format, or of Python.
        most: upper bound for the characters.
    """
    pieces: list[str] = []
    left = most
    for piece in _pieces(value, most, 0):
        if len(piece) > left:
            pieces.append(piece[:left])
            return Written("".join(pieces), is_cut=True)
        pieces.append(piece)
        left -= len(piece)
    return Written("".join(pieces))


def _pieces(value: Any, most: int, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield json.dumps(value[: most + 1], ensure_ascii=False)
    elif isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value[: most // 2 + 1])
        yield f"{len(value):,} bytes: {data.hex()}" if value else "0 bytes"
    elif isinstance(value, Mapping):
        yield from _mapping(value, most, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _listed(value, most, depth)
    else:
        yield _plain(value)


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    try:
        return str(value)
    except ValueError:  # an int of more than 4,300 digits
        return f"a number of {value.bit_length():,} bits"


def _mapping(value: Mapping[Any, Any], most: int, depth: int) -> Iterator[str]:
    if not value or depth >= DEEPEST:
        yield "{…}" if value else "{}"
        return
    inner = _INDENT * (depth + 1)
    yield "{"
    for number, (key, item) in enumerate(value.items()):
        yield f"{',' if number else ''}\n{inner}"
        yield from _pieces(key, most, DEEPEST)
        yield ": "
        yield from _pieces(item, most, depth + 1)
    yield f"\n{_INDENT * depth}}}"


def _listed(value: Any, most: int, depth: int) -> Iterator[str]:
    if not value or depth >= DEEPEST:
        yield "[…]" if value else "[]"
        return
    inner = _INDENT * (depth + 1)
    yield "["
    for number, item in enumerate(value):
        yield f"{',' if number else ''}\n{inner}"
        yield from _pieces(item, most, depth + 1)
    yield f"\n{_INDENT * depth}]"
