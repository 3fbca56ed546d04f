"""The Lua scripts, loaded once, with their includes resolved and their headers checked.

A script names its KEYS and ARGV in its header (`-- KEYS  1 pending  2 wake`). The loader counts the
KEYS there, so that a call with too few or too many keys fails here and not inside Redis.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_INCLUDES: Final = re.compile(
    r"^( *)-- include lib/[a-z_]+\.lua\n(?:\1-- include lib/[a-z_]+\.lua\n)*", re.MULTILINE
)
_PATH: Final = re.compile(r"lib/[a-z_]+\.lua")
_KEYS: Final = re.compile(r"^-- KEYS  (.*(?:\n--    .*)*)", re.MULTILINE)
_COMMAND: Final = re.compile(r"redis\.call\('([A-Z]+)'")
_NUMBERED: Final = re.compile(r"(?:^|  )(\d+) ")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, ready to be sent.

    Attributes:
        name: the file name, without `.lua`.
        source: the Lua source, with includes.
        sha: the SHA-1 by which Redis knows it.
        key_count: how many KEYS it takes.
        commands: the Redis commands that it may call.
    """

    name: str
    source: str
    sha: str
    key_count: int
    commands: frozenset[str]


def names() -> list[str]:
    """List the names of all scripts, in alphabetical order."""
    folder = resources.files(__package__) / "lua"
    return sorted(file.name.removesuffix(".lua") for file in folder.iterdir() if file.is_file())


@cache
def script(name: str) -> Script:
    """Load a script by its name.

    Raises:
        ValueError: its header names no KEYS, or numbers them wrongly.
        FileNotFoundError: the script or one of its includes is missing (a packaging error).
    """
    text = _read(f"{name}.lua")
    header = _KEYS.search(text)
    if header is None:
        raise ValueError(f"{name}.lua has no KEYS line in its header")
    numbers = [int(number) for number in _NUMBERED.findall(header.group(1))]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"{name}.lua: KEYS are numbered {numbers}")
    source = _resolve(text, seen=set())
    # SHA-1 is how Redis names scripts; nothing secret depends on it.
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, len(numbers), frozenset(_COMMAND.findall(source)))


def _resolve(text: str, seen: set[str]) -> str:
    """Replace each include by its fragment, once, before its first use.

    An indented include stands in a block, and its functions exist only in that block. They are
    created only when the block runs. That saves time, since Lua creates every function it meets in
    each run of a script, and that costs as much as a small command.
    """

    def fragments(match: re.Match[str]) -> str:
        visible = set(seen) if match.group(1) else seen
        found: list[str] = []
        for path in _PATH.findall(match.group()):
            if path not in visible:
                visible.add(path)
                found.append(_resolve(_read(path), visible))
        return "".join(found)

    return _INCLUDES.sub(fragments, text)


def _read(path: str) -> str:
    return (resources.files(__package__) / "lua" / path).read_text("utf-8")
