"""Identity of processes, and whether one has ended, from the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from identtqueue.worker import identity


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[bytes]) -> str:
    return f"{process.pid}:{identity.started(process.pid)}"


def test_this_process_is_not_gone() -> None:
    itself = identity.itself()
    assert itself == f"{os.getpid()}:{identity.started(os.getpid())}"
    assert not identity.is_gone(itself)


def test_one_that_runs_is_not_gone_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    name = name_of(child)
    assert not identity.is_gone(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity.is_gone(name), "a zombie has ended"
    child.wait()
    assert identity.is_gone(name)


def test_an_id_that_is_in_use_again_is_another_process(child: subprocess.Popen[bytes]) -> None:
    assert identity.is_gone(f"{child.pid}:1")


@pytest.mark.parametrize("name", ["", "soon", "x:1", "-1:1"])
def test_an_unreadable_process_id_proves_nothing(name: str) -> None:
    assert not identity.is_gone(name)


def test_processes_of_one_host_are_in_one_domain() -> None:
    code = "from identtqueue.worker import identity; print(identity.domain())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert identity.domain() == other.stdout.strip()
    assert ":" in other.stdout
