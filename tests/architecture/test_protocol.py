"""One table, three places: `states.py`, the Lua files, `docs/internals.md`. And Lua's rules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from identtqueue.limits import JobLimits
from identtqueue.protocol import calls, roles, scripts
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import bridge
from identtqueue.protocol.calls.bridge import Adoptee
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.keys import QUEUES, BridgeKeys
from identtqueue.protocol.needs import WORKER_COMMANDS
from identtqueue.protocol.states import SERVICES, TRANSITIONS, Transition
from identtqueue.task import Failure, State, TaskOptions
from identtqueue.transport import wire

ROOT = Path(__file__).parents[2]
LUA = ROOT / "queue/identtqueue/protocol/lua"
NONE = "(none)"
STATE = re.compile("|".join([*(rf"\b{state}\b" for state in State), re.escape(NONE)]))

SERVICE_SCRIPTS = [row.script for row in SERVICES]
AFTER_A_WRITE = {
    *("ok", "done", "asked", "asked before", "more"),
    *("pending", "suspect", "failed", "cancelled", "succeeded"),
    "unique",  # after a SETNX that has written nothing
    "taken",  # after an LREM that has removed nothing
}
"""Answers of a script that may have written. All others refuse the call."""


def states_in(text: str) -> tuple[State | None, ...]:
    return tuple(None if word == NONE else State(word) for word in STATE.findall(text))


def rows() -> dict[str, Transition]:
    return {row.script: row for row in TRANSITIONS}


# --- the table, three times ---


def documented_rows() -> dict[str, Transition]:
    """Read the table in docs/internals.md: | `script` | from → to | guard | caller |."""
    found = {}
    for line in (ROOT / "docs/internals.md").read_text("utf-8").splitlines():
        match = re.fullmatch(
            r"\| `(\w+)` \| ([^|]+) (?:→|->) ([^|]+) \| ([^|]+) \| ([^|]+) \|", line
        )
        if match:
            script, source, target, guard, caller = match.groups()
            assert script not in found, f"{script} has two rows"
            row = Transition(script, states_in(source), states_in(target), guard, caller)
            found[script] = row
    return found


def test_the_documentation_has_the_table() -> None:
    documented = documented_rows()
    assert documented == rows()
    assert list(documented) == list(rows()), "in the same order"


def test_the_documentation_names_the_scripts_that_move_no_task() -> None:
    text = (ROOT / "docs/internals.md").read_text("utf-8")
    (sentence,) = re.findall(r"^((?:`\w+`(?:,? and |, ))+`\w+`) move no task", text, re.MULTILINE)
    assert sorted(re.findall(r"\w+(?=`)", sentence)) == sorted(SERVICE_SCRIPTS)


def test_every_script_is_in_the_table_and_every_row_has_a_script() -> None:
    assert scripts.names() == sorted([*rows(), *SERVICE_SCRIPTS])
    assert len(rows()) == len(TRANSITIONS)
    assert not set(rows()) & set(SERVICE_SCRIPTS)


@pytest.mark.parametrize("name", rows())
def test_the_header_says_what_the_table_says(name: str) -> None:
    arrows = header(name)[0].split("->")
    assert len(arrows) > 1
    assert set(states_in(arrows[0])) == set(rows()[name].sources)
    targets = " ".join(re.split("[;:,.]", arrow)[0] for arrow in arrows[1:])
    assert set(states_in(targets)) == set(rows()[name].targets)


@pytest.mark.parametrize("name", SERVICE_SCRIPTS)
def test_a_service_script_moves_nothing(name: str) -> None:
    assert "->" not in header(name)[0]
    assert not re.search(
        r"'HSET', [^)]*'state'|\b(end_task|end_cancelled|begin|promote)\(", body(name)
    )


def test_every_state_can_be_reached_and_left() -> None:
    reached = {state for row in TRANSITIONS for state in row.targets}
    left = {state for row in TRANSITIONS for state in row.sources}
    assert reached == {*State, None}
    assert left == {None, *State}


# --- the scripts ---


@cache
def text(name: str) -> str:
    return (LUA / f"{name}.lua").read_text("utf-8")


@cache
def header(name: str) -> tuple[str, str, str, str]:
    """Parse the comment at the top: summary, KEYS, ARGV (with Options) and Returns."""
    lines = []
    for line in text(name).splitlines():
        if not line.startswith("--") or line.startswith("-- include"):
            break
        lines.append(line.removeprefix("--").strip())
    whole = "\n".join(lines)
    match = re.fullmatch(
        rf"{name.removeprefix(scripts.BRIDGE)}: (.+?)\nKEYS  (.+?)\nARGV  (.+?)\nReturns (.+)",
        whole,
        re.DOTALL,
    )
    assert match is not None, f"{name}.lua: its header has not all parts, in order:\n{whole}"
    return match.groups()  # type: ignore[return-value]


def code(source: str) -> str:
    """Return the lines of a script without comments and empty lines."""
    lines = (line.split("--")[0].rstrip() for line in source.splitlines())
    return "\n".join(line for line in lines if line)


def body(name: str) -> str:
    return code(text(name))


ALL = scripts.names()
EVERY = [*ALL, *scripts.names(scripts.BRIDGE)]
"""Those of the bridge to 0.2 as well, which are not in the table of transitions."""
LIBRARY = sorted(path.name for path in (LUA / "lib").iterdir())
SOURCES = {
    str(path.relative_to(LUA)): path.read_text("utf-8") for path in sorted(LUA.rglob("*.lua"))
}
DEFINED_IN = {
    name: path
    for path, source in SOURCES.items()
    if path.startswith("lib/")
    for name in re.findall(r"^local (?:function )?(\w+)", source, re.MULTILINE)
}
"""Everything that can be included: the name of a function or value -> its file."""


@pytest.mark.parametrize("name", EVERY)
def test_a_script_is_short(name: str) -> None:
    assert len(body(name).splitlines()) <= 60
    assert all(len(line) <= 100 for line in text(name).splitlines())


def named_in_header(name: str) -> list[str]:
    """List the local variables that the loader makes from a header."""
    source = scripts.script(name).source
    declared = re.findall(r"^local (.+) = unpack\((?:KEYS|ARGV, 1, \d+)\)$", source, re.MULTILINE)
    declared += re.findall(r"^local (LIST_START) = ", source, re.MULTILINE)
    return [variable for line in declared for variable in line.split(", ")]


def without_text(source: str) -> str:
    """Return code without its string constants and the names of fields."""
    return re.sub(r"\.\w+|\w+ = (?=[^,{}]*[,}])", "", re.sub(r"'[^']*'", "''", source))


@pytest.mark.parametrize("name", EVERY)
def test_the_header_names_the_keys_and_arguments_that_are_used(name: str) -> None:
    names = named_in_header(name)
    assert len(names) == len(set(names)), "a name stands for one thing"
    for variable in names:
        assert re.search(rf"\b{variable}\b", without_text(body(name))), f"{variable} is not used"
    has_list = "LIST_START" in names
    assert has_list == bool(re.search(r"^-- .*\d+\.\. ", text(name), re.MULTILINE))
    reads = r"for i = (?:#ARGV - \d+, )?LIST_START, |unpack\(ARGV, LIST_START\)"
    assert not has_list or re.search(reads, body(name))


@pytest.mark.parametrize("name", EVERY)
def test_a_name_of_the_header_keeps_its_meaning(name: str) -> None:
    """A second variable of the same name would hide a key or an argument."""
    declared = re.findall(
        r"\blocal (?:function )?([\w, \n]+?)(?: =|\(|$)", body(name), re.MULTILINE
    )
    again = {word for names in declared for word in re.findall(r"\w+", names)}
    assert not again & set(named_in_header(name))
    assert not set(DEFINED_IN) & set(named_in_header(name))


def test_keys_and_arguments_have_names_and_no_positions() -> None:
    for path, source in SOURCES.items():
        assert not re.findall(r"\bKEYS\b|\bARGV\[\d", code(source)), path
        assert not (path.startswith("lib/") and "ARGV" in code(source)), path
    assert not re.findall(r"\b(?:task|more|at|keys)\[\d+\]", "".join(SOURCES.values()))


@pytest.mark.parametrize("name", EVERY)
def test_includes_exist_and_are_used(name: str) -> None:
    for include in re.findall(r"^ *-- include lib/(\w+\.lua)$", text(name), re.MULTILINE):
        assert include in LIBRARY
        names = re.findall(
            r"^local (?:function )?(\w+)", (LUA / "lib" / include).read_text(), re.MULTILINE
        )
        assert any(re.search(rf"\b{n}\b", body(name)) for n in names), f"{include} is not used"


@pytest.mark.parametrize("path", SOURCES)
def test_a_file_includes_what_it_uses_itself(path: str) -> None:
    """If it came through the include of another file, a change there would break this one."""
    used = set(re.findall(r"\b\w+\b", without_text(code(SOURCES[path])))) & set(DEFINED_IN)
    included = set(re.findall(r"-- include (lib/\w+\.lua)", SOURCES[path]))
    missing = {name: DEFINED_IN[name] for name in used if DEFINED_IN[name] not in {*included, path}}
    assert missing == {}


def test_every_fragment_is_included_somewhere() -> None:
    used = {path for name in ALL for path in re.findall(r"include lib/(\w+\.lua)", text(name))}
    used |= {
        path
        for name in LIBRARY
        for path in re.findall(r"include lib/(\w+\.lua)", (LUA / "lib" / name).read_text())
    }
    assert used == set(LIBRARY)


READS = {
    *("EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HMGET", "LINDEX", "LLEN", "LPOS"),
    *("HLEN", "HSTRLEN", "LRANGE", "PTTL", "SCARD", "SISMEMBER", "SRANDMEMBER", "TIME", "ZCARD"),
    *("ZCOUNT", "ZRANGE"),
    *("ZRANGEBYSCORE", "ZRANK", "ZSCORE"),
}
CHANGERS = (
    *("end_task", "end_cancelled", "unqueue", "sweep", "begin_again", "ring", "vacate"),
    *("add_attempt", "end_one", "forget_ends", "note_ends"),
    *("admit", "serve_held", "put_back", "remove_tombstones", "make_room", "expire", "unblock"),
    *("serve_special", "take", "take_off", "promote", "withdraw", "plan", "count_claims"),
    *(
        "let_go",
        "promote_due",
        "end_packed",
        "notify",
        "start_unpacked",
        "store_task",
        "unpack_task",
    ),
    *("add_up", "block_paused", "cancel_task", "forget_entries", "forget_past", "log_act"),
    *("set_options",),
    *("keep_options", "declare", "forget_jobs", "forget_worker"),
    *("count_enqueued", "count_fate", "count_plain", "count_work", "field_of", "roll_up"),
)
"""Functions of `lua/lib` that write."""
WRITE = re.compile(rf"redis\.call\('(?!(?:{'|'.join(READS)})')|\b(?:{'|'.join(CHANGERS)})\(")


def blocks(source: str) -> list[str]:
    """Split a script into its functions and the rest."""
    functions = re.findall(r"^local function .*?^end$", source, re.MULTILINE | re.DOTALL)
    for function in functions:
        source = source.replace(function, "")
    return [*functions, source]


@pytest.mark.parametrize("name", EVERY)
def test_all_guards_come_before_the_first_write(name: str) -> None:
    """Lua does not roll back. This is checked in the text; `tests/protocol` checks the rest."""
    refusals = set(re.findall(r'"([a-z ]+)"', header(name)[3])) - AFTER_A_WRITE
    if name == "extend":  # it is part of the answer: the lease has been renewed
        refusals.remove("draining")
    for block in blocks(body(name)):
        write = WRITE.search(block)
        if write is None:
            continue
        after = block[write.start() :]
        returned = re.findall(r"return \{?'([a-z ]+)'", after)
        assert set(returned) <= refusals | AFTER_A_WRITE | {"draining"}, "the header names it"
        assert not set(returned) & refusals, f"{returned} after the first write:\n{after}"


LOOKING = (
    *("depth", "workers", "permitted", "limits", "schedules"),
    *("page", "tally", "parts", "record", "fields"),
)


@pytest.mark.parametrize("name", LOOKING)
def test_what_only_looks_writes_nothing(name: str) -> None:
    called = re.findall(r"redis\.call\('(\w+)'", scripts.script(name).source)
    assert set(called) <= READS


@pytest.mark.parametrize("name", EVERY)
def test_time_is_redis_time(name: str) -> None:
    source = scripts.script(name).source
    assert "os.time" not in source
    assert "os.clock" not in source
    assert source.count("redis.call('TIME')") <= 1, "one moment per script"


def test_defaults_that_redis_does_not_hold_are_those_of_the_options() -> None:
    values = re.findall(r"'(\d+)'", (LUA / "lib/defaults.lua").read_text())
    defaults = TaskOptions()
    seconds = [defaults.result_ttl_seconds, defaults.unique_seconds]
    assert [int(value) / 1000 for value in values] == seconds


# --- who calls them ---

TASK = NewTask("q:a", b"", "f")
EXAMPLES: dict[str, Any] = {
    # by the name of a parameter:
    "queue": "q",
    "queues": ["q"],
    "worker": "w",
    "workers": ["w"],
    "task_id": "q:a",
    "task": TASK,
    "tasks": [TASK],
    "firings": {"q:a": 1},
    "names": ["GET"],
    "info": {},
    "counts": {"job": b""},
    "done": [("q:a", 1, b"")],
    "attempts": [("q:a", 1)],
    "shelves": ["s:job"],
    "serves": ["s:job"],
    "limits": {"job": JobLimits(max_running=1)},
    "requests": [Adoptee(b"request", "q:a", b"", "job")],
    "bridge": BridgeKeys("old", "q"),
    "place": Place.HELD,
    "part": "held:job",
    "parent": "q:a",
    "task_ids": ["q:b"],
    # by its type:
    "str": "x",
    "int": 1,
    "float": 1.0,
    "bool": True,
    "bytes": b"",
    "Failure": Failure("T", "m"),
    "Mapping[str, int]": {"q:a": 1},
    "Mapping[str, Mapping[str, bytes]]": {"q:a": {"payload": b""}},
    "Sequence[str]": ["q:a"],
}
"""Arguments from which an example of each call is made."""


def example(function: Callable[..., Call[Any]]) -> Call[Any]:
    """Make an example of a call, with a list at the end that is not empty."""
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = name if name in EXAMPLES else parameter.annotation
        if kind in EXAMPLES:
            arguments[name] = EXAMPLES[kind]
        else:
            assert parameter.default is not parameter.empty, f"EXAMPLES has no {name}"
    return function(**arguments)


WITH_CALLS = [
    importlib.import_module(f"{calls.__name__}.{module.name}")
    for module in pkgutil.iter_modules(calls.__path__)
]
"""The modules with the functions that make calls."""

MADE = {
    name: example(function)
    for module in WITH_CALLS
    if module is not bridge
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and not name.startswith("_")
    and str(function.__annotations__.get("return")).startswith("Call[")
}
SCRIPT_CALLS = {name: call for name, call in MADE.items() if call.is_script}
CALLS = {call.name: call for call in SCRIPT_CALLS.values()}
PLAIN = {name: call for name, call in MADE.items() if not call.is_script}


BRIDGE_CALLS = {
    call.name: call
    for function in vars(bridge).values()
    if inspect.isfunction(function)
    and str(function.__annotations__.get("return")).startswith("Call[")
    if (call := example(function)).is_script
}


def test_every_script_of_the_bridge_has_one_command() -> None:
    assert sorted(BRIDGE_CALLS) == scripts.names(scripts.BRIDGE)


@pytest.mark.parametrize("name", BRIDGE_CALLS)
def test_a_call_of_the_bridge_passes_what_the_header_names(name: str) -> None:
    call = BRIDGE_CALLS[name]
    assert wire.words(call)[2] == len(call.keys) == scripts.script(name).key_count
    named = re.findall(r"(?:^|  )(\d+)(\.\.)? ", header(name)[2], re.MULTILINE)
    count = len(call.args)
    assert count >= len(named) if named[-1][1] else count == len(named)


def test_a_client_loads_no_script_of_the_bridge() -> None:
    code = "from identtqueue.protocol import scripts; print(*scripts.needed())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == ALL


def test_every_script_has_one_call() -> None:
    """But for `fields`: each of its calls reads other fields."""
    called = [call.name for call in SCRIPT_CALLS.values()]
    assert sorted(name for name in called if name != "fields") == sorted({*ALL} - {"fields"})
    assert called.count("fields") > 1


NATURALLY_REPEATABLE = {"enqueue", "schedule", "promote", "give_up", "recover", "await"}
"""Transitions that do nothing the second time, or keep the answer under a key in ARGV (enqueue)."""


@pytest.mark.parametrize("name", rows())
def test_a_transition_may_be_sent_twice(name: str) -> None:
    """It checks the attempt's owner, or keeps its answer for a call whose reply was lost."""
    guarded = re.search(r"\bown(?:ed)?\(|\bremember\(answer, ", body(name))
    assert guarded or name in NATURALLY_REPEATABLE or not CALLS[name].repeatable


def in_one_slot(call: Call[Any]) -> None:
    """Check that all keys are in one slot of a cluster. The registry of queues has its own."""
    assert call.keys == (QUEUES,) or all(key.startswith("idtq:{q}:") for key in call.keys)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_command_finds_its_node(name: str) -> None:
    """Its keys name the node. In a cluster, any node may answer a command without keys."""
    call = PLAIN[name]
    assert not call.is_script
    in_one_slot(call)
    assert not [word for word in call.args if str(word).startswith("idtq:{")], "keys among args"


@pytest.mark.parametrize("made_by", SCRIPT_CALLS)
def test_a_command_passes_the_keys_and_arguments_of_the_header(made_by: str) -> None:
    call = SCRIPT_CALLS[made_by]
    name = call.name
    assert wire.words(call)[2] == len(call.keys) == scripts.script(name).key_count
    assert call.repeatable == (name != "claim")
    in_one_slot(call)

    keys = [re.sub(r"<.*>", "", word) for word in re.findall(r"\d+ ([^\s]+)", header(name)[1])]
    given = [key.removeprefix("idtq:{q}:").removeprefix("idtq:") for key in call.keys]
    for key, expected in zip(given, keys, strict=True):
        assert key.startswith(expected), f"{name}: KEYS are {given}, the header says {keys}"

    named = re.findall(r"(?:^|  )(\d+)(\.\.)? ", header(name)[2], re.MULTILINE)
    if named and named[-1][1]:
        assert len(call.args) >= len(named)
    else:
        assert len(call.args) == len(named)


def test_a_worker_checks_its_rights_to_all_commands_of_its_scripts() -> None:
    assert WORKER_COMMANDS.split() == roles.script_commands(roles.Role.WORKER)
