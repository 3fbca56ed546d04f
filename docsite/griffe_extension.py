"""The step of griffe that writes docstrings out. It runs in the site's own environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from docsite.plain import written_out


class WrittenOut(griffe.Extension):
    """Rewrites the docstring of each object that is read."""

    def on_instance(self, *, obj: griffe.Object, **_more: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = written_out(obj.docstring.value)
