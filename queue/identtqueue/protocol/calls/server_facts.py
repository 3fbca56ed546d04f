"""Calls that ask a server about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from identtqueue.protocol import replies
from identtqueue.protocol.call import Call


def server_time() -> Call[float]:
    """Read Redis' time, in seconds since 1970."""
    return Call("TIME", (), (), _parse_time, is_script=False)


def server_info() -> Call[dict[str, str]]:
    """Read the `server` section of INFO; in a cluster, of the node that was started last."""
    return Call("INFO", (), ("server",), replies.parse_info, is_script=False, merge=_newest_info)


def memory_info() -> Call[dict[str, str]]:
    """Read the `memory` section of INFO. Redis 6.2 takes only one section per call."""
    return Call("INFO", (), ("memory",), replies.parse_info, is_script=False)


def cluster_slots() -> Call[Sequence[Any]]:
    """Ask a node of a cluster which node has which slots."""
    return Call("CLUSTER", (), ("SLOTS",), list, is_script=False)


def role() -> Call[list[Any]]:
    """Ask a server for its role: master or replica."""
    return Call("ROLE", (), (), list, is_script=False)


def uptime_seconds(info: Mapping[str, str]) -> int:
    """Read from INFO how long a server has run; 0 if it does not say."""
    text = info.get("uptime_in_seconds", "")
    return int(text) if re.fullmatch("[0-9]{1,12}", text) else 0


def server_time_ms(info: Mapping[str, str]) -> int | None:
    """Read the time of a server from INFO, in ms since 1970; None if it does not say."""
    text = info.get("server_time_usec", "")
    return int(text) // 1000 if re.fullmatch("[0-9]{1,18}", text) else None


def _newest_info(answers: Sequence[dict[str, str]]) -> dict[str, str]:
    """Choose the INFO of the node that was started last."""
    return min(answers, key=uptime_seconds)


def _parse_time(reply: list[bytes]) -> float:
    """Parse the answer to TIME: seconds since 1970."""
    seconds, microseconds = reply
    return int(seconds) + int(microseconds) / 1_000_000
