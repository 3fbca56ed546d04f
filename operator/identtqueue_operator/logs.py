"""Log lines: JSON for machines, text for people. One line each, to standard error.

A line about one TaskQueue names it in a field of its own, and one about an Event its
reason, so that messages need not be parsed: `extra=about(key, reason)`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from identtqueue.logs import MOST_CHARACTERS, LineFormatter, clean
from identtqueue_operator.model import Key

FIELDS = ("taskqueue", "reason")
"""Extra fields that a line may have."""


def about(key: Key, reason: str | None = None) -> dict[str, str]:
    """Make the `extra` of a log call about a TaskQueue."""
    return {"taskqueue": str(key)} | ({} if reason is None else {"reason": reason})


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line for a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage(), line_break="\n"),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            exception = self.formatException(record.exc_info)
            line["exception"] = clean(exception, 4 * MOST_CHARACTERS, line_break="\n")
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, style: Literal["json", "text"]) -> None:
    """Send all log records to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf reports every event it handled; the reconcilers report the results.
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
