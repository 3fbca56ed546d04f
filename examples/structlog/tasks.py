"""An app whose log lines are made by structlog: its own, those of the library and of others."""

import logging
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from identtqueue import App, Context
from identtqueue.logs import attempt_fields


def add_attempt(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the task's id, its job, queue and attempt to what a job logs."""
    return {**attempt_fields(), **event}


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    add_attempt,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),  # the fields of the library's records
]


def set_up_logging() -> None:
    """Send everything through structlog: its own events, and the records of `logging`."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    # Because the root logger has a handler now, `identtqueue worker` adds none.
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


set_up_logging()
log = structlog.get_logger("shop")
app = App()


@app.task(queue="documents")
async def read(ctx: Context, path: str) -> int:
    """Read a document."""
    structlog.contextvars.bind_contextvars(path=path)
    log.info("reading", pages=3)
    logging.getLogger("some.package").warning("a line of another package")
    return 3
