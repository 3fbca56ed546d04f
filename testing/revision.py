"""The commit that a report is about."""

from __future__ import annotations

import subprocess

from testing.processes import ROOT


def commit() -> str:
    """Name the commit, and whether files differ from it; `unknown` outside a clone."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
