"""The command line.

`commands` holds a module for the commands about each thing. They ask through `session` and print
through `display`; `launch` is the start of a worker.
"""

from __future__ import annotations

from identtqueue.cli.commands import main as main
