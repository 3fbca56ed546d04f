"""Imports: roots, layers, lazy imports and the public API."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import identtqueue

ROOT = Path(__file__).parents[2]

EXPORTED = [
    *("App", "AppJob", "Client", "Context", "Cron", "IdenttqueueError", "InvalidInput", "Job"),
    *("JobCall", "Outcome", "RateLimit", "Receipt", "RedisSettings", "RedisUnavailable", "Result"),
    *("ResultTimeout", "Retry", "RetryPolicy", "State", "Submission", "SyncClient"),
    *(
        "SyncTaskHandle",
        "TaskCancelled",
        "TaskError",
        "TaskExists",
        "TaskExpired",
        "TaskFailed",
        "TaskHandle",
    ),
    *("TaskInfo", "TaskNotFound", "TaskOptions", "TimedOut", "Worker"),
]
"""The public API. Removing a name breaks callers, and a new one is a promise."""


def run_python(code: str) -> str:
    """Run code in a new interpreter in the repository root; return its output."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


# --- roots ---


@pytest.mark.parametrize("root", ["queue", "operator"])
def test_the_source_roots_are_no_packages(root: str) -> None:
    assert (ROOT / root).is_dir()
    assert not (ROOT / root / "__init__.py").exists(), "it would shadow the standard library"


def test_the_standard_library_is_not_shadowed() -> None:
    run_python("import queue, operator; queue.Queue; operator.add")


@pytest.mark.parametrize("package", ["queue/identtqueue", "operator/identtqueue_operator"])
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


# --- layers ---


def test_the_layers_hold() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- lazy imports ---

HEAVY = {"kopf", "kubernetes", "pydantic", "prometheus_client", "click", "aiohttp", "uvloop"}


def loaded(code: str, *modules: str, tops: set[str] = HEAVY) -> list[str]:
    """Return which of the modules (or of the distributions `tops`) code has loaded."""
    ask = f"m for m in sys.modules if m.split('.')[0] in {tops!r} or m in {set(modules)!r}"
    return run_python(f"{code}\nimport sys\nprint(*sorted({ask}))").split()


def test_importing_the_package_loads_nothing_of_it() -> None:
    assert loaded("import identtqueue", tops={"identtqueue", "redis", "msgspec"}) == ["identtqueue"]


@pytest.mark.parametrize("name", ["Client", "SyncClient", "TaskOptions", "State"])
def test_a_client_loads_neither_the_worker_nor_the_operator(name: str) -> None:
    code = f"import identtqueue; identtqueue.{name}"
    assert loaded(code, "identtqueue.worker", "identtqueue.worker.worker", "cronsim") == []


def test_an_app_that_only_enqueues_does_not_load_the_worker() -> None:
    code = (
        "import identtqueue; app = identtqueue.App('redis://localhost')\n"
        "@app.task(queue='mrz', max_retries=3)\n"
        "async def read(ctx, path: str) -> str: ...\n"
        "read.call('x')"
    )
    assert loaded(code, "identtqueue.worker", "identtqueue.worker.worker") == []


def test_a_worker_loads_no_kubernetes() -> None:
    code = "import identtqueue; identtqueue.Worker({'job': print}, 'redis://localhost', 'mrz')"
    assert loaded(code, tops=HEAVY - {"uvloop"}) == []


def test_the_administration_loads_neither_client_nor_worker() -> None:
    code = "import identtqueue.admin"
    assert loaded(code, "identtqueue.client", "identtqueue.worker", "identtqueue.app") == []


def test_the_command_line_loads_redis_only_when_a_command_asks() -> None:
    """So `--help` and the completion of a shell are quick."""
    code = "import identtqueue.cli.commands"
    assert loaded(code, "identtqueue.admin", "identtqueue.app", tops={"redis", "rich"}) == []


# --- the public API ---


def test_exactly_these_names_are_exported() -> None:
    assert sorted(EXPORTED) == identtqueue.__all__ == dir(identtqueue)


@pytest.mark.parametrize("name", EXPORTED)
def test_every_exported_name_is_there_and_documented(name: str) -> None:
    value = getattr(identtqueue, name)
    assert value.__name__ == name
    assert value.__doc__


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="'identtqueue' has no attribute 'nothing'"):
        _ = identtqueue.nothing
    with pytest.raises(ImportError):
        from identtqueue import nothing  # noqa: F401


def test_type_checkers_see_the_same_names() -> None:
    """`__init__.py` names each thing twice: lazily, and for type checkers."""
    text = Path(identtqueue.__file__).read_text("utf-8")
    declared = [line.split(" as ")[1] for line in text.splitlines() if " as " in line]
    assert sorted(declared) == sorted(EXPORTED)


def test_the_package_is_typed() -> None:
    assert (ROOT / "queue/identtqueue/py.typed").exists()
