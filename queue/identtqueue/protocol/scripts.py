"""The Lua scripts, loaded once, with their includes resolved and their headers checked.

A script names its KEYS and ARGV in its header:

    -- KEYS  1 pending  2 inflight:<worker>
    -- ARGV  1 worker  2 lease_ms: of the new lease  3.. pairs: id, attempt

The loader turns these names into local variables, so no script knows a position:

    local pending, inflight = unpack(KEYS)
    local worker, lease_ms = unpack(ARGV, 1, 2)
    local LIST_START = 3

`LIST_START` is where a list at the end begins, which the script reads in a loop up to `#ARGV`. Each
statement is one line, so that the line number in an error message of Redis leads to the right
place. They stand below the script's includes: the functions of `lua/lib` know only their arguments.
Lua allows 200 local variables, and 60 from outside in one function; Redis refuses to load a script
with more.

The loader also counts the KEYS, so that a call with too few or too many fails here and not inside
Redis.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import PurePath
from typing import Any, Final

import msgspec

_INCLUDES: Final = re.compile(
    r"\n( *)-- include lib/[a-z_]+\.lua(?:\n\1-- include lib/[a-z_]+\.lua)*(?=\n)"
)
"""Lines of includes, each with the line break before it: from one break to the next `re` goes
quickly, while it would try each character for `^`, and a start resolves 100 KB."""

_PATH: Final = re.compile(r"lib/[a-z_]+\.lua")
_HEADER: Final = re.compile(r"(?:--.*\n)+")
_ENTRY: Final = re.compile(r"(?:^|  )(\d+)(\.\.)? ([a-z_]+)", re.MULTILINE)

LIST_START: Final = "LIST_START"
"""Name of the local variable that says where the list at the end of ARGV begins."""


class Script(msgspec.Struct, frozen=True):
    """One script, ready to be sent.

    Attributes:
        name: the file name, without `.lua`.
        source: the Lua source, with includes.
        sha: the SHA-1 by which Redis knows it.
        key_count: how many KEYS it takes.
    """

    name: str
    source: str
    sha: str
    key_count: int

    @property
    def commands(self) -> frozenset[str]:
        """The Redis commands that it may call."""
        return frozenset(commands_in(self.source))


def commands_in(source: str) -> list[str]:
    """Return the Redis commands that Lua calls, in the order of the text."""
    return re.findall(r"redis\.call\('([A-Z]+)'", source)


BRIDGE: Final = "v02/"
"""Prefix of the names of the scripts that only the bridge to identtqueue 0.2 runs."""

_FOLDER: Final = PurePath(__file__).with_name("lua")

_used: Final[set[str]] = set()
"""Prefixes of the scripts that this process has used."""


def names(prefix: str = "") -> list[str]:
    """List the names of all scripts of one folder, in alphabetical order.

    Args:
        prefix: empty, or `BRIDGE`.
    """
    # Imported late: most processes never list the scripts, because Redis has them already.
    from importlib import resources  # noqa: PLC0415

    folder = resources.files(__package__) / "lua" / prefix
    files = (file.name for file in folder.iterdir() if file.is_file())
    return sorted(prefix + file.removesuffix(".lua") for file in files)


def needed() -> list[str]:
    """List the scripts that this process may run, so that no client loads those of the bridge."""
    return names() + [name for prefix in sorted(_used - {""}) for name in names(prefix)]


@cache
def script(name: str) -> Script:
    """Load a script by its name.

    Raises:
        ValueError: its header names no KEYS or no ARGV, or numbers them wrongly.
        FileNotFoundError: the script or one of its includes is missing (a packaging error).
    """
    text = _read(f"{name}.lua")
    _used.add(name[: name.rfind("/") + 1])
    header = _HEADER.match(text)
    top = header.group() if header else ""
    keys, arguments = _names(name, "KEYS", top), _names(name, "ARGV", top)
    source = _resolve(top + _locals(keys, arguments) + text[len(top) :], seen=set())
    # SHA-1 is how Redis names scripts; nothing secret depends on it.
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, len(keys))


def _names(script_name: str, kind: str, header: str) -> list[str]:
    """Read the names of KEYS or ARGV from a header. `LIST_START` stands for a list at the end."""
    part = re.search(rf"^-- {kind}  (.*(?:\n--    .*)*)", header, re.MULTILINE)
    if part is None:
        raise ValueError(f"{script_name}.lua has no {kind} line in its header")
    entries = _ENTRY.findall(part.group(1))
    numbers = [int(number) for number, _, _ in entries]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"{script_name}.lua: {kind} are numbered {numbers}")
    return [LIST_START if is_list else name for _, is_list, name in entries]


def _locals(keys: list[str], arguments: list[str]) -> str:
    """Declare the names of a header as local variables."""
    listed = arguments[-1] == LIST_START
    named = arguments[:-1] if listed else arguments
    lines = [f"local {', '.join(keys)} = unpack(KEYS)"]
    if named:
        lines.append(f"local {', '.join(named)} = unpack(ARGV, 1, {len(named)})")
    if listed:
        lines.append(f"local {LIST_START} = {len(arguments)}")
    return "".join(f"{line}\n" for line in lines)


def _resolve(text: str, seen: set[str]) -> str:
    """Replace each include by its fragment, once, before its first use.

    An indented include stands in a block. Its functions exist only there, and are created only when
    the block runs. That saves time: Lua creates each function anew in every run of a script, which
    costs as much as a small command.
    """

    def fragments(match: re.Match[str]) -> str:
        visible = set(seen) if match.group(1) else seen
        found: list[str] = []
        for path in _PATH.findall(match.group()):
            if path not in visible:
                visible.add(path)
                found.append(_resolve(_fragment(path), visible))
        return "".join(["\n", *found])[:-1]  # the last line break is still there

    return _INCLUDES.sub(fragments, f"\n{text}")[1:]


@cache
def _fragment(path: str) -> str:
    """Read a fragment once, for all scripts that include it."""
    return _read(path)


def _read(path: str) -> str:
    # `pkgutil.get_data` does the same, but looks for the package again for each of 70 files.
    loader: Any = __spec__.loader
    data: bytes = loader.get_data(f"{_FOLDER}/{path}")
    return data.decode()
