"""The version of this library."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "1.0.0"
"""The version, as in `pyproject.toml`; a test compares the two. To read it from the metadata of the
installed package would take a tenth of a worker's start."""
