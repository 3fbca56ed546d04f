"""What `identtqueue worker` does before its worker runs: import the application, set up logging."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from identtqueue import logs
from identtqueue.app import App
from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.worker.worker import Worker

logger = logging.getLogger(__name__)


def load_app(target: str, modules: Sequence[str] = ()) -> App:
    """Import the app at MODULE:NAME, and then the modules that declare its jobs.

    Raises:
        InvalidInput: a module or the name in it is missing, or what is there is no App.
    """
    module_name, _, attribute = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    module = _import(module_name, f"{target!r} names no module: write it as in `import`: tasks:app")
    try:
        found = getattr(module, attribute or "app")
    except AttributeError as error:
        raise InvalidInput(f"{target}: {error}") from error
    if not isinstance(found, App):
        raise InvalidInput(f"{target} is no identtqueue.App")
    for name in modules:
        _import(name, f"--import {name!r} names no module: write it as in `import`: service.jobs")
    return found


def _import(name: str, unless_named: str) -> ModuleType:
    if not name or name.startswith(".") or ":" in name:
        raise InvalidInput(unless_named)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports what is not: its traceback says where
        raise InvalidInput(f"{name}: {error}") from error


def set_up_logging(level: str | None) -> None:
    """Log to standard error, unless the application has set up logging while it was imported.

    Args:
        level: of the root logger, if the user gave one; it also applies to the application's own
            set-up. None: INFO, or what the application says.
    """
    root = logging.getLogger()
    if not root.handlers:
        logs.set_up(level or "INFO")
    elif level:
        root.setLevel(level)
    # dictConfig and fileConfig disable the loggers that exist, by default: those of the library
    # that were imported before. It would depend on import order what a worker reports.
    for name, logger_ in logging.root.manager.loggerDict.items():
        if name.split(".")[0] == "identtqueue" and isinstance(logger_, logging.Logger):
            logger_.disabled = False


def announce(app: App, worker: Worker) -> None:
    """Log what the worker can run, and for which queues."""
    jobs = [
        f"{job.name} (in a process)" if job.run_in == "process" else job.name
        for _, job in sorted(app.jobs.items())
    ]
    logger.info(
        "starting with %d job%s (%s) for queues %s",
        len(jobs),
        "" if len(jobs) == 1 else "s",
        ", ".join(jobs),
        worker.settings.order_text,
    )
