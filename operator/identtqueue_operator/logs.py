"""Log lines: JSON or logfmt for machines, text for people. One line each, to standard error.

A line about one TaskQueue names it in a field of its own, and one about an Event its
reason, so that messages need not be parsed: `extra=about(key, reason)`.
"""

import logging
import sys
from typing import Final

from identtqueue.logs import LogFormat, formatter
from identtqueue_operator.model import Key

LINE: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

FIELDS: Final = ("taskqueue", "reason")
"""Extra fields that a line may have."""


def about(key: Key, reason: str | None = None) -> dict[str, str]:
    """Make the `extra` of a log call about a TaskQueue."""
    return {"taskqueue": str(key)} | ({} if reason is None else {"reason": reason})


def set_up(level: str, style: LogFormat) -> None:
    """Send all log records to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style, LINE, FIELDS))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf reports every event it handled; the reconcilers report the results.
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
