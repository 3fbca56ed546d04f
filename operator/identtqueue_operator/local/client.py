"""Questions to the instance of `identtqueue local` that runs."""

import json
from pathlib import Path
from typing import Any

from identtqueue_operator.local.state import StateFolder

PATIENCE_SECONDS = 30.0


class NotRunning(Exception):
    """No instance answers, or it refuses; the message says why."""


def ask(folder: Path, verb: str, **arguments: Any) -> Any:
    """Ask the instance that has a state folder.

    Raises:
        NotRunning: there is none, or it refuses.
    """
    try:
        with StateFolder(folder).connect(PATIENCE_SECONDS) as connected:
            connected.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with connected.makefile("rb") as stream:
                answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise NotRunning(
            f"no `identtqueue local` answers in the state folder {folder} ({error}): start it by "
            "`identtqueue local -f taskqueue.yaml` in this directory, or name its folder by --state"
        ) from None
    if "error" in answer:
        raise NotRunning(answer["error"])
    return answer
