"""`identtqueue local` as a process, one for all tests that leave it alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testing.local import LocalInstance


@pytest.fixture
def new_instance(tmp_path: Path) -> Iterator[Callable[..., LocalInstance]]:
    """Provide a function that makes a test's own instances, and end them afterwards."""
    made: list[LocalInstance] = []

    def make(folder: Path = tmp_path, **environ: str) -> LocalInstance:
        made.append(LocalInstance(folder, **environ))
        return made[-1]

    yield make
    for instance in made:
        instance.destroy()


@pytest.fixture
def instance(new_instance: Callable[..., LocalInstance]) -> LocalInstance:
    """Make an instance that is not started yet."""
    return new_instance()
