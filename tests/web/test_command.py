"""`identtqueue dashboard` and `identtqueue dashboard-user`, as real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from identtqueue import SyncClient
from identtqueue.cli import main
from identtqueue.dashboard.access.basic import parse_users
from testing.http import get
from testing.processes import environment
from testing.redis_server import RedisServer, free_port
from testing.waiting import LONG_SECONDS, wait_until
from web.serving import live_address


@contextmanager
def running(
    address: str, *options: str, folder: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command, and yield its process and address."""
    port = free_port()
    command = [sys.executable, "-m", "identtqueue", "dashboard", "--port", str(port), *options]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(address), stderr=subprocess.PIPE, text=True
    )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until(
            "the dashboard answers",
            lambda: process.poll() is not None or get(f"{base}/healthz").text == "ok\n",
            ignore=httpx.HTTPError,
        )
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield process, base
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_it_serves_below_a_path_and_ends_at_once_although_somebody_looks(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    redis_server = new_redis_server()  # without the queues of other tests, of which 200 are shown
    options = ("--queue", queue, "--root-path", "/ops", "--title", "staging")
    with running(redis_server.address, *options) as (process, base):
        assert get(f"{base}/").status_code == 404
        assert get(f"{base}/ops").headers["location"] == "/ops/"
        page = get(f"{base}/ops/").text
        assert f'href="/ops/queues/{queue}"' in page
        assert "staging" in page
        assert get(f"{base}/ops/", headers={"Host": "evil.example"}).status_code == 421
        with httpx.stream("GET", base + live_address(page), timeout=LONG_SECONDS) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            process.send_signal(signal.SIGTERM)
            list(lines)  # until it ends
            assert process.wait(timeout=30) == 0
            assert process.stderr is not None
            assert "graceful shutdown exceeded" not in process.stderr.read(), "it did not wait"


def test_a_login_made_by_the_command_works(redis_server: RedisServer, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        ["dashboard-user", "otto", "--role=operator", "--password-stdin"],
        input="long enough\n",
    )
    assert result.exit_code == 0, result.output
    assert parse_users(result.output)["otto"].user.can_act
    users = tmp_path / "users"
    users.write_text(result.output)
    with running(redis_server.address, "--host", "127.0.0.1", "--users", str(users)) as (_, base):
        assert get(base).status_code == 401
        assert get(base, auth=("otto", "long enough")).status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host=0.0.0.0"], "say who may look|Say who may look"),
        (["--open", "--proxy=10.0.0.0/8"], "exclude each other"),
        (["--users=/nowhere/users"], "No such file"),
        (["--proxy=nonsense"], "proxies"),
        (["no_such_module:app"], "no_such_module"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["dashboard", "--port=0", *options])
    assert result.exit_code != 0
    assert re.search(words, result.output), result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("name", "password"), [("a:b", "long enough"), ("otto", "short")])
def test_a_bad_user_is_refused(name: str, password: str) -> None:
    result = CliRunner().invoke(main, ["dashboard-user", name, "--password-stdin"], input=password)
    assert result.exit_code != 0


def test_help_loads_nothing_of_the_dashboard() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom identtqueue.cli import main\n"
        "CliRunner().invoke(main, ['--help'])\n"
        "print([m for m in ('starlette', 'jinja2', 'uvicorn') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("redis://127.0.0.1:1"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"


SHOP = """
from identtqueue import App, Context

def hide(job, args, kwargs):
    return args, kwargs | {"card": "hidden by the shop"}

app = App("%s", redact=hide)

@app.task(queue="%s")
async def charge(ctx: Context, *, card: str, cents: int) -> None: ...
"""


def test_it_hides_what_the_function_of_the_app_hides(
    redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP % (redis_server.address, queue))
    with SyncClient(redis_server.address) as client:
        task_id = client.enqueue_job(queue, "charge", card="4111-1111", cents=5)
    with running(redis_server.address, "shop:app", folder=tmp_path) as (_, base):
        page = get(f"{base}/task", params={"task_id": task_id}).text
        assert "hidden by the shop" in page
        assert "4111" not in page
