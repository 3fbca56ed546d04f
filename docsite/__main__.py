"""`python -m docsite`: build, show or check the documentation site."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from docsite import commands, pages, rendered, taskqueue
from docsite.environment import executable

BUILD = pages.ROOT / "build"
STAGE = BUILD / "docs"
SITE = BUILD / "site"
CONFIG = Path(__file__).with_name("zensical.toml")
LOOK_SECONDS = 0.5
"""How often `serve` looks for changed pages."""


@click.group()
def main() -> None:
    """Build, show or check the documentation site."""


@main.command()
def build() -> None:
    """Write the site to build/site, and fail on any warning, dead link or file from elsewhere."""
    started = time.monotonic()
    count = _stage()
    command = (str(executable("zensical")), "build", "--clean", "--strict")
    done = subprocess.run(command, cwd=BUILD, env=os.environ | {"NO_COLOR": "1"}, check=False)
    if done.returncode:
        sys.exit("the site could not be built: see the lines above")
    found = list(rendered.problems(SITE))
    for problem in found:
        click.echo(problem, err=True)
    if found:
        sys.exit(f"the site has {len(found)} problems")
    seconds = time.monotonic() - started
    click.echo(f"{count} files, {seconds:.1f} s: open {SITE.relative_to(pages.ROOT)}/index.html")


@main.command()
@click.option("--address", default="localhost:8000", show_default=True, help="Where to serve it.")
def serve(address: str) -> None:
    """Serve the site, and build each changed page anew."""
    _stage()
    command = (str(executable("zensical")), "serve", "--dev-addr", address)
    server = subprocess.Popen(command, cwd=BUILD)
    seen = _times(pages.DOCS.rglob("*.md"))
    try:
        while server.poll() is None:
            time.sleep(LOOK_SECONDS)
            now = _times(pages.DOCS.rglob("*.md"))
            for page in (page for page, at in now.items() if seen.get(page) != at):
                text, _ = pages.page_of(page)
                (STAGE / pages.place(page)).write_text(text, "utf-8")
            seen = now
    except KeyboardInterrupt:
        server.terminate()
    sys.exit(server.wait())


@main.command("taskqueue")
def write_taskqueue() -> None:
    """Write the reference page of the TaskQueue resource."""
    taskqueue.PAGE.write_text(taskqueue.render(), "utf-8")


@main.command("commands")
def write_commands() -> None:
    """Write the reference page of the command line."""
    commands.PAGE.write_text(commands.render(), "utf-8")


def _stage() -> int:
    count = pages.stage(STAGE)
    (BUILD / "zensical.toml").write_text(CONFIG.read_text("utf-8"), "utf-8")
    return count


def _times(files: Iterable[Path]) -> dict[Path, float]:
    return {file: file.stat().st_mtime for file in files}


if __name__ == "__main__":
    main()
