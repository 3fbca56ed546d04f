"""Values that are hidden from those who look at tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from identtqueue import App, Context, InvalidInput
from identtqueue.admin.record import Hiding
from identtqueue.protocol import codec
from identtqueue.redaction import HIDDEN, check_redact, hidden_names, hide, hide_arguments
from identtqueue.task import Task


class Login(BaseModel):
    user: str
    pin: SecretStr = Field(alias="PIN")


class Nested(BaseModel):
    logins: list[Login]
    again: Nested | None = None


@dataclass
class Key:
    name: str
    material: SecretBytes | None


class Card(msgspec.Struct, rename="camel"):
    card_number: SecretStr


class Words(TypedDict):
    open: str
    sesame: SecretStr


class Broken(msgspec.Struct):
    field: Unknown  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (str, []),
        (SecretStr, ["argument"]),
        (SecretStr | None, ["argument"]),
        (list[SecretStr], ["argument"]),
        (Annotated[SecretStr, Field(min_length=1)], ["argument"]),
        (Login, ["pin"]),
        (Nested, ["pin"]),
        (dict[str, list[Login]], ["pin"]),
        (Key, ["material"]),
        (Card, ["card_number", "cardnumber"]),
        (Words, ["sesame"]),
        (Broken, []),
        (Any, []),
    ],
)
def test_secret_types_are_found(kind: Any, names: list[str]) -> None:
    assert hidden_names(frozenset(), {"argument": kind}) == names


def test_names_are_hidden_at_any_depth_and_in_any_case() -> None:
    value = {"a": [{"Password": "x", "b": 1}], "password": None, 3: "y"}
    shown = {"a": [{"Password": HIDDEN, "b": 1}], "password": HIDDEN, 3: "y"}
    assert hide(value, {"password"}) == shown
    assert value["password"] is None, "the value itself is as it was"


def test_arguments_are_hidden_by_position_and_by_name() -> None:
    task = Task("login", ("me", "geheim", {"pin": 1}), {"IBAN": "DE", "other": [{"iban": 2}]})
    shown = hide_arguments(task, ("user", "password", "more"), {"password", "pin", "iban"})
    assert shown.args == ("me", HIDDEN, {"pin": HIDDEN})
    assert shown.kwargs == {"IBAN": HIDDEN, "other": [{"iban": HIDDEN}]}
    assert hide_arguments(task, (), ()) is task


@pytest.mark.parametrize("wrong", ["password", b"x", {"a": 1}, [1], [""], 5])
def test_something_else_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="give names"):
        check_redact(wrong)
    with pytest.raises(InvalidInput, match="give names"):
        App(redact=wrong)


def only_jobs(job: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if job == "broken":
        raise RuntimeError(args)
    return [HIDDEN for _ in args], dict.fromkeys(kwargs, HIDDEN)


def test_with_a_function_only_the_application_shows_arguments() -> None:
    declared = {"hidden": hidden_names(only_jobs, {"x": SecretStr}), "parameters": ["x"]}
    payload = codec.encode_task(Task("send", (1, 2), {"a": 3}))
    stranger = Hiding.of(declared, frozenset())
    assert stranger.call(payload, 9) == (None, "hidden by the application")
    assert stranger.value({"x": 1}) == HIDDEN
    viewer = Hiding.of(declared, only_jobs)
    assert viewer.call(payload, 9) == (
        Task("send", (HIDDEN, HIDDEN), {"a": HIDDEN}),
        "some values are hidden",
    )
    assert viewer.value({"x": 1, "y": 2}) == {"x": HIDDEN, "y": 2}
    broken = codec.encode_task(Task("broken", (1,)))
    assert viewer.call(broken, 9) == (None, "hidden: the application's function failed")


def test_what_a_stranger_declares_is_no_trouble() -> None:
    odd = Hiding.of({"hidden": 5, "parameters": [1, "a"]}, frozenset({"b"}))
    assert odd.call(codec.encode_task(Task("j", (), {"b": 1, "a": 2})), 1)[0] == Task(
        "j", (), {"b": HIDDEN, "a": 2}
    )


def test_an_app_hides_what_the_apps_in_it_hide() -> None:
    inner, outer = App(redact={"PIN"}, keep_arguments=False), App(redact=["iban"])

    @inner.task
    async def login(ctx: Context, pin: str) -> None: ...

    outer.include(inner)
    settings = outer.worker().settings
    assert settings.redact == {"pin", "iban"}
    assert settings.keep_arguments is False
    with pytest.raises(InvalidInput, match="redact is a function"):
        App().include(App(redact=only_jobs))
