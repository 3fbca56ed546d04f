"""The addresses of pages, wherever the dashboard is mounted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")


class Links:
    """The addresses of all pages below one mount point.

    Args:
        paths: the path of each page by its name, with `{parameters}`.
        root: where the dashboard is mounted, without a slash at the end; empty: at the root.
        static_version: folder of this version's static files.
    """

    def __init__(self, paths: Mapping[str, str], root: str, static_version: str) -> None:
        self.root = root
        self._paths = paths
        self._static = f"{root}/static/{static_version}/"

    def to(self, name: str, /, **words: Any) -> str:
        """Return the address of a page.

        Args:
            name: name of the page.
            **words: the parameters of its path, quoted here, and those of its query; None and ""
                are left out of the query.
        """
        used: set[str] = set()

        def fill(found: re.Match[str]) -> str:
            used.add(found[1])
            return quote(str(words[found[1]]), safe="")

        path = _PARAMETER.sub(fill, self._paths[name])
        query = {
            key: value
            for key, value in words.items()
            if key not in used and value is not None and value != ""
        }
        return f"{self.root}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")

    def has(self, name: str) -> bool:
        """Return whether there is a page of this name."""
        return name in self._paths

    def static(self, file: str) -> str:
        """Return the address of a static file, which changes whenever any of them does."""
        return self._static + file
