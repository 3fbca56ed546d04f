"""The start of an instance as a process: logging, the lock, the exit code."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from identtqueue.errors import IdenttqueueError
from identtqueue.logs import LineFormatter, LogFormat
from identtqueue_operator import logs
from identtqueue_operator.local.manifest import BadManifest
from identtqueue_operator.local.output import Output
from identtqueue_operator.local.pods import Say
from identtqueue_operator.local.run import Instance, Options
from identtqueue_operator.local.state import StateFolder, StateFolderError

logger = logging.getLogger("identtqueue_operator.local")


def start(files: Sequence[Path], state: Path, log_level: str, log_format: LogFormat) -> int:
    """Run an instance; return the process's exit code."""
    _set_up_logging(log_level, log_format)
    try:
        lock = StateFolder(state).take()
        output = Output(sys.stdout, log_format)
        try:
            asyncio.run(_run(Options(files, state, log_format), lock, output.say))
        finally:
            output.close()
            os.close(lock)
    except (BadManifest, StateFolderError, IdenttqueueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Exception:
        logger.exception("identtqueue local has ended")
        return 1
    logger.info("stopped")
    return 0


def _set_up_logging(level: str, style: LogFormat) -> None:
    """Log as the operator does, without the names of loggers in text for people."""
    logs.set_up(level, style)
    if style == "text":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))


async def _run(options: Options, lock: int, say: Say) -> None:
    await Instance(options, lock, say).run()
