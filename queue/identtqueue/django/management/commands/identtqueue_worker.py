"""`manage.py identtqueue_worker`: run a worker for the tasks of the project.

It has the options of `identtqueue worker`, with the same environment variables and checks.
"""

from __future__ import annotations

import importlib
import signal
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping
from typing import Any, Final

import click
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from identtqueue.cli import launch
from identtqueue.cli.commands.worker import queue_words, worker
from identtqueue.django.backend import IdenttqueueBackend
from identtqueue.django.catalogue import CATALOGUE
from identtqueue.django.framework import task_backends
from identtqueue.django.reload import run_reloading
from identtqueue.django.worker import make_worker
from identtqueue.errors import IdenttqueueError
from identtqueue.worker.settings import weighted_queues
from identtqueue.worker.worker import Worker

HELP: Final[Mapping[str, str]] = {
    "queues": "Queue of the backend to work on, with the queues of its priorities. Repeatable. "
    "Default: all QUEUES of the backend. While several queues have tasks, a queue of weight 3 gets "
    "three tasks started for each one of a queue without a weight. Environment variable: "
    "IDENTTQUEUE_QUEUES.",
    "modules": "Import this module, which declares tasks and is not the module `tasks` of an app. "
    "Repeatable.",
    "log_level": "Level of the root logger, also if LOGGING configures it. The default applies "
    "only if it does not.",
}
"""Help for options that mean something else here than for `identtqueue worker`."""

_OPTIONS: Final = tuple(
    option
    for option in worker.params
    if isinstance(option, click.Option) and option.name is not None
)


class Command(BaseCommand):
    """Run a worker."""

    help = (
        "Run a worker for the tasks of this project until SIGTERM. Running tasks then have "
        "--grace-seconds to end. Those that do not go back to their queues."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--backend", default="default", help="Name of the backend in TASKS. Default: default."
        )
        parser.add_argument(
            "--reload",
            action=BooleanOptionalAction,
            default=settings.DEBUG,
            help="Start anew when code changes. Default: the value of DEBUG.",
        )
        for option in _OPTIONS:
            shown: dict[str, Any] = {"dest": option.name, "help": _help(option)}
            if option.is_flag:
                parser.add_argument(option.opts[0], action=BooleanOptionalAction, **shown)
                continue
            parser.add_argument(
                option.opts[0],
                action="append" if option.multiple else "store",
                metavar=option.metavar or _metavar(option.type),
                **shown,
            )

    def handle(self, **given: Any) -> None:
        """Run the worker.

        Raises:
            CommandError: an option, or the setting TASKS, is wrong.
        """
        options = _parsed(given)
        try:
            backend = _backend(given["backend"])
            if given["reload"]:
                run_reloading(lambda: _made(backend, options))
                return
            _made(backend, options).run()
        except (IdenttqueueError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        # The worker ended in order. A late signal must not make the process look killed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def _backend(alias: str) -> IdenttqueueBackend:
    """Find a backend of the setting TASKS.

    Raises:
        ImproperlyConfigured: there is none of that name, or it is of another kind.
    """
    backend = task_backends[alias]
    if not isinstance(backend, IdenttqueueBackend):
        raise ImproperlyConfigured(
            f"TASKS[{alias!r}] has the backend {type(backend).__name__}, which needs another "
            "worker: name an IdenttqueueBackend with --backend"
        )
    return backend


def _parsed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Let click parse the options, with the types and environment variables of the command line."""
    words: list[str] = []
    for option in _OPTIONS:
        value = given.get(str(option.name))
        if option.is_flag:
            words += [] if value is None else (option.opts if value else option.secondary_opts)
            continue
        values = value if isinstance(value, list | tuple) else [] if value is None else [value]
        words += [word for each in values for word in (option.opts[0], str(each))]
    command = click.Command("identtqueue_worker", params=list(_OPTIONS))
    try:
        context = command.make_context("identtqueue_worker", words)
    except click.ClickException as error:
        raise CommandError(error.format_message()) from error
    flags = {str(option.name) for option in _OPTIONS if option.is_flag}
    said = {k: v for k, v in context.params.items() if v is not None or k not in flags}
    level, log_format = launch.logging_options(context)
    return {**said, "log_level": level, "log_format": log_format}


def _made(backend: IdenttqueueBackend, options: Mapping[str, Any]) -> Worker:
    """Import the tasks, set up logging and make the worker."""
    settings_ = dict(options)
    for name in settings_.pop("modules"):
        importlib.import_module(name)
    launch.set_up_logging(settings_.pop("log_level"), settings_.pop("log_format"))
    names, weights = weighted_queues(queue_words(settings_.pop("queues")))
    made = make_worker(backend, names, weights, **settings_)
    launch.announce(((name, None) for name in CATALOGUE.complete()), made)
    return made


def _metavar(kind: Any) -> str:
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()


def _help(option: click.Option) -> str:
    text = HELP.get(str(option.name), option.help or "")
    if option.default is not None and not option.multiple and "Default:" not in text:
        text += f" Default: {option.default}."
    if option.envvar:
        text += f" Environment variable: {option.envvar}."
    return text.replace("%", "%%")
