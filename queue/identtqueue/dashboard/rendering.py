"""HTML from templates. All that they print is escaped, and shows what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2

from identtqueue.dashboard import pictures, words

FOLDER: Final = Path(__file__).parent / "templates"


@cache
def _environment() -> jinja2.Environment:
    """Make the environment once for each process: to compile a template takes tens of ms."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=words.plain,
        auto_reload=False,
    )
    environment.filters |= {
        "duration": words.duration,
        "fold": words.fold,
        "moment": words.moment,
        "number": words.number,
        "plural": words.plural,
        "seconds": words.seconds,
        "size": words.size,
    }
    environment.globals |= {
        "NOTHING": words.NOTHING,
        "shares": pictures.shares,
        "spark": pictures.spark,
    }
    # Not imported by the templates: a block that is made by itself has no imports.
    environment.globals["ui"] = environment.get_template("parts.html").module
    return environment


class Rendering:
    """The templates, and what they can use: see `words` and `pictures`."""

    def __init__(self) -> None:
        self._environment = _environment()

    def page(self, template: str, context: Mapping[str, Any]) -> bytes:
        """Make a whole page."""
        return self._environment.get_template(template).render(context).encode("utf-8", "replace")

    def blocks(
        self, template: str, names: Iterable[str], context: Mapping[str, Any]
    ) -> dict[str, str]:
        """Make some blocks of a page by themselves, with the same context as the page."""
        found = self._environment.get_template(template)
        shared = found.new_context(dict(context))
        return {name: "".join(found.blocks[name](shared)) for name in names}
