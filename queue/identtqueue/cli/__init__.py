"""The command line: `commands`, what they show (`display`), how a worker starts (`launch`)."""

from __future__ import annotations

from identtqueue.cli.commands import main as main
