"""The pytest plugin in the suites of users, with each way to run asynchronous tests."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest

from testing.markdown import ROOT, blocks, files

# Pytester removes the modules that a suite imports. So those of the library are imported before,
# or else half of it would be imported twice.
for name in ("burst", "context", "cron", "inline", "recorder", "server"):
    import_module(f"identtqueue.testing.{name}")
import_module("identtqueue.embedded.share")

JOBS = """
from identtqueue import App, Context

app = App("redis://production.invalid")


@app.task(queue="mrz")
async def read(ctx: Context, path: str) -> str:
    await ctx.report_progress(1)
    return path.upper()


@app.on_startup
async def begin(state):
    state["ready"] = True
"""

TESTS = """
import pytest
from jobs import app, read

{mark}

async def test_inline(inline):
    assert await (await read.enqueue("a")).result() == "A"

async def test_recorder(recorder):
    await read.enqueue("a")
    recorder.assert_enqueued(read, "a")

@pytest.mark.parametrize("number", range(2))
async def test_worker(worker, number):
    task = await read.options(task_id="same").enqueue("a")
    assert task.created
    assert (await worker.run()).outcomes == ["succeeded"]
    assert await task.result(0) == "A"

async def test_context(make_context):
    assert await read(make_context(read), "a") == "A"
"""

BLOCKING = """
from jobs import read

def test_inline(inline):
    assert read.enqueue_sync("a").result() == "A"

def test_recorder(recorder):
    read.enqueue_sync("a")
    recorder.assert_enqueued(read, "a")

def test_worker(worker):
    task = read.enqueue_sync("a")
    assert worker.run_sync().outcomes == ["succeeded"]
    assert task.result(0) == "A"
"""

UNITTEST = """
from unittest import IsolatedAsyncioTestCase, TestCase
from identtqueue.testing import BurstWorker, Inline, Recorder
from jobs import app, read

class Asynchronous(IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.worker = await self.enterAsyncContext(BurstWorker(app))

    async def test_worker(self):
        task = await read.enqueue("a")
        await self.worker.run(raise_failures=True)
        self.assertEqual(await task.result(0), "A")

class Blocking(TestCase):
    def test_inline(self):
        with Inline(app):
            self.assertEqual(read.enqueue_sync("a").result(), "A")
"""

PLUGIN = ("-p", "identtqueue.testing.plugin", "-p", "no:cacheprovider", "-W", "error")


def set_up(pytester: pytest.Pytester, tests: str, *settings: str) -> None:
    ini = ["[pytest]", "identtqueue_app = jobs:app", "pythonpath = .", *settings]
    pytester.makeini("\n".join(ini))
    pytester.makepyfile(jobs=JOBS, test_jobs=tests)
    pytester.syspathinsert()


@pytest.mark.parametrize(("mode", "loop"), [("auto", "function"), ("strict", "session")])
def test_with_pytest_asyncio(pytester: pytest.Pytester, mode: str, loop: str) -> None:
    mark = "pytestmark = pytest.mark.asyncio" if mode == "strict" else ""
    set_up(
        pytester,
        TESTS.format(mark=mark),
        f"asyncio_mode = {mode}",
        "asyncio_default_fixture_loop_scope = function",
        f"asyncio_default_test_loop_scope = {loop}",
    )
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=5)


def test_with_anyio(pytester: pytest.Pytester) -> None:
    mark = "pytestmark = pytest.mark.anyio"
    set_up(pytester, TESTS.format(mark=mark))
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'"
    )
    pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio").assert_outcomes(passed=5)


def test_without_an_asynchronous_plugin(pytester: pytest.Pytester) -> None:
    set_up(pytester, BLOCKING)
    plain = ("-p", "no:asyncio", "-p", "no:anyio")
    pytester.runpytest_inprocess(*PLUGIN, *plain).assert_outcomes(passed=3)


def test_with_unittest(pytester: pytest.Pytester) -> None:
    set_up(pytester, UNITTEST)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "test_jobs"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Ran 2 tests" in result.stderr, result.stderr
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_with_xdist(pytester: pytest.Pytester) -> None:
    set_up(pytester, BLOCKING)
    result = pytester.runpytest_subprocess(*PLUGIN, "-n", "2", "-p", "no:asyncio")
    result.assert_outcomes(passed=3)


def test_the_examples_of_the_documentation(pytester: pytest.Pytester) -> None:
    pages = files("docs/howto/testing.md")
    for name, text in pages.items():
        (pytester.path / name).write_text(text, "utf-8")
    (setting,) = [b.text for b in blocks("docs/howto/testing.md") if b.language == "ini"]
    pytester.makeini(f"{setting}pythonpath = .\nasyncio_default_fixture_loop_scope = function\n")
    pytester.syspathinsert()
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=10)


@pytest.mark.slow
def test_the_suite_of_the_fastapi_example() -> None:
    folder = ROOT / "examples" / "fastapi"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGIN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "queue")},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "15 passed" in result.stdout, result.stdout + result.stderr


def test_without_a_setting_the_app_is_new(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_new(identtqueue_app, inline):
            @identtqueue_app.task
            def double(ctx, n: int) -> int:
                return 2 * n
            assert double.enqueue_sync(2).result() == 4
        """
    )
    pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio").assert_outcomes(passed=1)


def test_a_fixture_of_the_project_chooses_the_app(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(jobs=JOBS, test_jobs=BLOCKING)
    pytester.syspathinsert()
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def identtqueue_app():
            from jobs import app
            return app
        """
    )
    pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio").assert_outcomes(passed=3)


def test_a_wrong_setting_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nidenttqueue_app = no_module:app")
    pytester.makepyfile("def test_it(inline): ...")
    result = pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*identtqueue_app = no_module:app: No module named 'no_module'*")


def test_the_plugin_imports_nothing_of_the_library() -> None:
    code = (
        "import sys; import identtqueue.testing.plugin; "
        "print(sorted(name for name in sys.modules if name.split('.')[0] in "
        "('identtqueue', 'redis', 'msgspec', 'asyncio')))"
    )
    run = [sys.executable, "-c", f"import pytest, asyncio; {code}"]
    loaded = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    names = [name for name in eval(loaded) if name.split(".")[0] != "asyncio"]
    assert names == ["identtqueue", "identtqueue.testing", "identtqueue.testing.plugin"]
