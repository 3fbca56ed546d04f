"""The tasks of a project, by the path of their function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from django.utils.module_loading import autodiscover_modules

from identtqueue.django.framework import Task


class Catalogue:
    """The tasks that this process knows, of all backends.

    A name from Redis is only looked up here. Nothing is imported because a name in Redis says so.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}
        self._is_complete = False

    def add(self, task: Any) -> None:
        """Add a task. The first one of a function stays: later ones are copies by `using`."""
        self._tasks.setdefault(task.module_path, task)

    def complete(self) -> dict[str, Any]:
        """Import the module `tasks` of each app, and return all tasks by their path.

        The tasks of other backends are included, since `using(backend=…)` may bring them here.
        """
        autodiscover_modules("tasks")
        for task in _loaded_tasks():
            self.add(task)
        self._is_complete = True
        return dict(self._tasks)

    def find(self, path: str) -> Any | None:
        """Find a task by the path of its function; None: this project has no such task."""
        if path not in self._tasks and not self._is_complete:
            self.complete()
        return self._tasks.get(path)


CATALOGUE: Final = Catalogue()


def _loaded_tasks() -> Iterator[Any]:
    """Iterate over the tasks that are attributes of modules which are imported now."""
    for module in list(sys.modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            # `isinstance` would ask a lazy object for its class, and so make it.
            if issubclass(type(value), Task):
                yield value
