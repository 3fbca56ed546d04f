"""Keyword arguments that a `TypedDict` names for type checkers: they are those that there are."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from identtqueue import App, Client, SyncClient, TaskOptions, Worker
from identtqueue.client.settings import ClientKeywords
from identtqueue.task import TaskOptionKeywords
from identtqueue.worker.keywords import SettingKeywords, WorkerKeywords
from identtqueue.worker.settings import SETTING_NAMES, WORKER_NAMES, WorkerSettings

MADE_BY_THE_WORKER = {"queues", "retry", "hooks", "cron"}
"""Settings that `Worker` makes of arguments of its own."""


def own_arguments(function: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a method that can be given by keyword only."""
    parameters = inspect.signature(function).parameters.items()
    return {k: p for k, p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def test_options_of_a_task() -> None:
    assert get_type_hints(TaskOptionKeywords) == get_type_hints(TaskOptions)


def test_settings_of_a_client() -> None:
    hints = get_type_hints(ClientKeywords)
    for kind in (Client, SyncClient):
        assert own_arguments(kind.__init__).keys() == hints.keys()
        given = get_type_hints(kind.__init__)
        assert {name: given[name] for name in hints} == hints


def test_settings_of_a_worker() -> None:
    hints = get_type_hints(WorkerSettings)
    wanted = {name: kind for name, kind in hints.items() if name not in MADE_BY_THE_WORKER}
    assert get_type_hints(SettingKeywords) == wanted
    assert SettingKeywords.__optional_keys__ == SETTING_NAMES


def test_arguments_of_a_worker() -> None:
    """`App.worker` passes on all keywords but those that it gives itself."""
    arguments = own_arguments(Worker.__init__).keys() - {"queue_names", "cron", "state"}
    assert arguments == WorkerKeywords.__optional_keys__ - SettingKeywords.__optional_keys__
    assert WorkerKeywords.__optional_keys__ == WORKER_NAMES
    hints = get_type_hints(Worker.__init__, localns={"SettingKeywords": SettingKeywords})
    known = get_type_hints(WorkerKeywords)
    assert {name: hints[name] for name in arguments} == {name: known[name] for name in arguments}
    assert own_arguments(App.worker).keys() == {"redis_address"}
