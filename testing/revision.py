"""The commit that a report is about."""

from __future__ import annotations

import subprocess

from testing.processes import ROOT


def commit() -> str:
    """Name the commit that is checked out; `unknown` outside a clone."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
