"""Sources: where keys, commands that write to Redis, and kinds of workloads may be named."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import redis

from identtqueue.protocol.keys import ROOT as KEY_ROOT
from identtqueue.release import RELEASE
from identtqueue_operator.timings import Timings
from identtqueue_operator.workload.kinds import WATCHED

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "queue/identtqueue"
KEYS = LIBRARY / "protocol/keys.py"
CALLS = LIBRARY / "protocol/calls"
OPERATOR = ROOT / "operator/identtqueue_operator"
TEST_DATABASES = LIBRARY / "testing/databases.py"
"""Empties the databases of tests, and notes which process has which. It changes no task."""
KNOW_KINDS = ("workload", "kube", "local")
"""Rooms that may tell kinds of workloads apart."""
SPEAK_OF_KINDS = {
    "api/v1alpha1/workload.py": "the default of workloadRef.kind, and descriptions of fields",
    "api/crd.py": "descriptions of fields",
    "api/admission.py": "which permission an author needs for a template",
}
"""Modules that name a kind to users, and why."""


def sources(*suffixes: str) -> Iterator[Path]:
    for folder in (LIBRARY, ROOT / "operator/identtqueue_operator", ROOT / "examples"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a module, once for all tests."""
    return ast.parse(path.read_text("utf-8"))


def strings(path: Path) -> Iterator[str]:
    """Return the string constants of a module, without docstrings."""
    tree = parsed(path)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_string = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_string and id(node) not in documentation:
            yield node.value


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_only_keys_py_spells_a_key() -> None:
    spelled = [
        name(path)
        for path in sources(".py", ".lua", ".sh", ".yaml")
        if path != KEYS and f"{KEY_ROOT}:" in path.read_text("utf-8")
    ]
    assert spelled == []


def test_no_script_makes_up_a_key() -> None:
    """It only uses KEYS, or a prefix from its arguments and an id."""
    kinds = [f":{kind}" for kind in ("pending", "inflight", "task", "dead", "wake", "scheduled")]
    for path in (LIBRARY / "protocol/lua").rglob("*.lua"):
        code = [line.split("--")[0] for line in path.read_text("utf-8").splitlines()]
        found = [line for line in code for kind in kinds if kind in line]
        assert found == [], name(path)


def test_only_lua_writes_to_redis(raw: redis.Redis) -> None:
    """No Python source names a command that writes. The server itself says which those are.

    Three exceptions: an idle worker's BLPOP takes a wake token, which is no task. An idle bridge's
    BLMOVE moves the head of a list to where it is. And the databases of an application's tests are
    emptied.
    """
    flags = raw.command()
    writing = {
        command.upper()
        for command, about in flags.items()
        if "write" in {f.decode() if isinstance(f, bytes) else f for f in about["flags"]}
    }
    assert {"SET", "RPUSH", "BLPOP", "DEL", "ZADD"} <= writing
    found = {
        (name(path), text)
        for path in sources(".py")
        if path != TEST_DATABASES
        for text in strings(path)
        if text in writing
    }
    assert found == {(name(CALLS / "claiming.py"), "BLPOP"), (name(CALLS / "bridge.py"), "BLMOVE")}


def calls_of(path: Path, name: str) -> list[ast.Call]:
    """Return where a module calls a function or makes an object of a class."""
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def test_only_the_protocol_makes_calls_and_parses_their_replies() -> None:
    """The module that makes a call parses its reply too, in a function of its own."""
    making = {name(path) for path in sources(".py") if calls_of(path, "Call")}
    others = {"transport/wire.py", "worker/finish.py"}  # scripts to load; one answer as a list
    known = {TEST_DATABASES, *(LIBRARY / other for other in others)}
    known |= {path for path in CALLS.glob("*.py") if path.name != "__init__.py"}
    assert making == set(map(name, known))
    for function in (node for path in CALLS.glob("*.py") for node in ast.walk(parsed(path))):
        if isinstance(function, ast.FunctionDef) and is_maker(function):
            for node in (inner for line in function.body for inner in ast.walk(line)):
                assert not isinstance(node, ast.FunctionDef), f"{function.name}: {node.name}"
                assert getattr(node, "attr", "") != "decode", function.name


def is_maker(function: ast.FunctionDef) -> bool:
    """Return whether a function makes a call, and so leaves the reply to another function."""
    return function.returns is not None and ast.unparse(function.returns).startswith("Call[")


def imports(path: Path) -> Iterator[str]:
    """Return the distributions that a module imports from."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_neither_the_protocol_nor_the_operator_knows_redis_py() -> None:
    importing = [name(path) for path in sources(".py") if "redis" in imports(path)]
    assert importing
    assert [p for p in importing if p.startswith(("queue/identtqueue/protocol", "operator"))] == []


# --- kinds of workloads ---


def kinds_named(path: Path) -> set[str]:
    """The kinds that the code of a module tells apart: in strings and names, not in prose."""
    nodes = ast.walk(parsed(path))
    names = {getattr(node, "id", None) or getattr(node, "attr", None) or "" for node in nodes}
    said = " ".join([*names, *strings(path)]).replace("_", "").lower()
    return {kind.name for kind in WATCHED if kind.name.lower() in said}


def test_no_other_room_knows_one_kind_of_workload_from_another() -> None:
    """It asks the kind (`workload/kind.py`), so that a new kind is a change of one room."""
    found = {
        str(path.relative_to(OPERATOR)): kinds
        for path in sorted(OPERATOR.rglob("*.py"))
        if path.relative_to(OPERATOR).parts[0] not in KNOW_KINDS and (kinds := kinds_named(path))
    }
    assert found.keys() == SPEAK_OF_KINDS.keys(), found


def test_a_kind_that_is_named_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""A Deployment."""\nif kind == "StatefulSet" or key.is_deployment: ...\n')
    assert kinds_named(module) == {kind.name for kind in WATCHED}


# --- names ---


def shadowed(tree: ast.Module) -> Iterator[str]:
    """Find imported names of a module that a function uses for something else."""
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and getattr(node, "module", "") != "__future__"
        for alias in node.names
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if isinstance(node, ast.arg) and node.arg in imported:
                    yield f"{node.arg} in line {node.lineno}"
                is_set = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                if is_set and node.id in imported:
                    yield f"{node.id} in line {node.lineno}"


def test_no_local_name_shadows_an_import() -> None:
    """In one module a name means one thing."""
    found = {name(path): set(shadowed(parsed(path))) for path in sources(".py")}
    assert {path: names for path, names in found.items() if names} == {}
    example = "import json\nfrom a import b\ndef f(json):\n for b in json: pass"
    assert set(shadowed(ast.parse(example))) == {"json in line 3", "b in line 4"}


def test_a_class_name_of_the_library_means_one_thing() -> None:
    """No two classes share a name, even if one of them is private.

    Those of `v02` have the names of 0.2, which is what they are for.
    """
    places: dict[str, list[str]] = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.parent == LIBRARY / "v02" and path.stem in ("client", "worker"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(f"{name(path)}: {node.name}")
    assert {key: where for key, where in places.items() if len(where) > 1} == {}


def test_no_test_of_the_operator_patches_a_time() -> None:
    """`Timings` are given instead: a constant that is moved or copied escapes a patch."""
    patched = [
        f"{name(path)}:{node.lineno}"
        for path in sorted((ROOT / "tests/operator").glob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "monkeypatch.setattr"
        and re.search(r"SECONDS|\btime\b|monotonic", ast.unparse(node))
    ]
    assert patched == []


def test_every_timing_is_used() -> None:
    operator = ROOT / "operator/identtqueue_operator"
    code = "".join(p.read_text("utf-8") for p in operator.rglob("*.py") if p.stem != "timings")
    assert [each.name for each in fields(Timings) if f".{each.name}" not in code] == []


def test_the_library_knows_its_version() -> None:
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == RELEASE
    )
