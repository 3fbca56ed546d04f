"""Calls of a job: they are accepted as Python accepts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identtqueue import App, Context, InvalidInput, TaskOptions

PARAMETERS = "abcd"


def signatures() -> st.SearchStrategy[Callable[..., None]]:
    def make(places: list[bool], only: int, star: bool, names: list[bool], rest: bool) -> Any:
        parts, needed = ["ctx"], sorted(places)  # those with a default come last
        for name, default in zip("ab", needed, strict=False):
            parts.append(f"{name}=0" if default else name)
        if only <= len(parts):
            parts.insert(only, "/")
        if star:
            parts.append("*args")
        elif names:
            parts.append("*")
        parts += [f"{n}=0" if default else n for n, default in zip("cd", names, strict=False)]
        if rest:
            parts.append("**kwargs")
        scope: dict[str, Any] = {}
        exec(f"def job({', '.join(parts)}): pass", scope)
        return scope["job"]

    some = st.lists(st.booleans(), max_size=2)
    return st.builds(make, some, st.integers(1, 9), st.booleans(), some, st.booleans())


def named_as_one_by_place(ctx: Any, a: int = 0, /, **kwargs: int) -> None: ...


@example(named_as_one_by_place, [], {"a": 0})
@given(
    signatures(),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from([*PARAMETERS, "ctx", "e"]), st.integers()),
)
def test_a_call_is_accepted_as_python_does(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    job = App("redis://nowhere").task(function)
    try:
        function(None, *args, **kwargs)
    except TypeError:
        with pytest.raises(InvalidInput, match="job: "):
            job.call(*args, **kwargs)
    else:
        call = job.call(*args, **kwargs).submission
        assert (list(call.args), dict(call.kwargs)) == (args, kwargs)


def test_options_are_no_arguments() -> None:
    app = App("redis://nowhere")

    @app.task
    async def anything(_ctx: Context, **kwargs: int) -> None: ...

    for name in TaskOptions.__struct_fields__:
        with pytest.raises(InvalidInput, match=rf"give anything\.options\({name}=…\)"):
            anything.call(**{name: 5})
