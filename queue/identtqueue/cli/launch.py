"""The start of `identtqueue worker`: import the application and set up logging."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from identtqueue import logs
from identtqueue.app import App
from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.worker.worker import Worker

logger = logging.getLogger(__name__)


def load_app(target: str, modules: Sequence[str] = ()) -> App:
    """Import an app, and then the modules that declare its jobs.

    Args:
        target: MODULE:NAME of the app; without a name it is `app`.
        modules: modules that declare jobs and that the app's module does not import.

    Raises:
        InvalidInput: a module or the name in it is missing, or the name is not of an App.
    """
    module_name, _, attribute = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    module = _import(module_name, f"{target!r} names no module: write it as in `import`: tasks:app")
    try:
        found = getattr(module, attribute or "app")
    except AttributeError as error:
        raise InvalidInput(f"{target}: {error}") from error
    if not isinstance(found, App):
        raise InvalidInput(f"{target} is not an identtqueue.App")
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
            raise  # the module exists, but imports one that does not: the traceback shows where
        raise InvalidInput(f"{name}: {error}") from error


def set_up_logging(level: str | None, log_format: logs.LogFormat | None = None) -> None:
    """Log to standard error, unless the application has set up logging while it was imported.

    Args:
        level: level of the root logger; it also overrides the application's own set-up. None: the
            level that the application has set, else INFO.
        log_format: format of the lines; it does not override the application's own set-up. None:
            text.
    """
    made = logs.set_up(level or "INFO", log_format or "text")
    if level and not made:
        logging.getLogger().setLevel(level)
    # By default dictConfig and fileConfig disable all existing loggers, including those of library
    # modules that were imported before. Without this, what a worker logs depends on import order.
    for name, logger_ in logging.root.manager.loggerDict.items():
        if name.split(".")[0] == "identtqueue" and isinstance(logger_, logging.Logger):
            logger_.disabled = False
    if log_format and not made:
        logger.info(
            "the application has set up logging itself, so the log format %s is not used",
            log_format,
        )


def logging_options(context: click.Context) -> tuple[str | None, logs.LogFormat | None]:
    """Read the level and the format of a command; None for what was not given.

    Args:
        context: the context of a command with `--log-level` and `--log-format`. The format may also
            have been given before the command.
    """
    level = _given(context, "log_level")
    log_format = _given(context, "log_format") or _given(context.find_root(), "log_format")
    return level and level.upper(), log_format


def _given(context: click.Context, name: str) -> Any:
    source = context.get_parameter_source(name)
    return None if source in (None, ParameterSource.DEFAULT) else context.params[name]


def announce(jobs: Iterable[tuple[str, str | None]], worker: Worker) -> None:
    """Log what the worker can run, and for which queues.

    Args:
        jobs: name of each job, and where it runs.
        worker: the worker that will run them.
    """
    names = sorted(f"{name} (in a process)" if place == "process" else name for name, place in jobs)
    logger.info(
        "starting with %d job%s (%s) for queues %s",
        len(names),
        "" if len(names) == 1 else "s",
        ", ".join(names),
        worker.settings.order_text,
    )
