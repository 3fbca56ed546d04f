"""The remains of a task that has ended, and for how long they are kept."""

from __future__ import annotations

from typing import Final

import msgspec

from identtqueue.protocol import codec
from identtqueue.task import Failure

DEAD_LETTER_TTL_MS: Final = 7 * 86_400_000
"""How long dead letters are kept: a week, so that Friday night's can still be read on Monday."""

EXPIRED: Final = codec.encode_failure(Failure("Expired", "not started before expires_seconds"))

CANCELLED: Final = codec.encode_failure(Failure("Cancelled", "cancelled on request"))
"""The failures that scripts store for a task which has expired or was cancelled."""


class Keeping(msgspec.Struct, frozen=True):
    """The part of ended tasks that a queue keeps, besides the result.

    Attributes:
        recent_ends: how many ends are listed; 0: none.
        recent_ends_ms: how long an end is listed.
        arguments: whether the arguments are kept as long as the result, unless they are large.
    """

    recent_ends: int = 10_000
    recent_ends_ms: int = 86_400_000
    arguments: bool = True

    def words(self) -> str:
        """Return it in the form that `lua/lib/recent.lua` reads."""
        return f"{self.recent_ends} {self.recent_ends_ms} {int(self.arguments)}"


KEPT: Final = Keeping()
"""The default, which `lua/lib/recent.lua` knows as well."""

MOST_KEPT_BYTES: Final = 16 * 1024
"""Largest arguments that are kept after the end of their task. `lua/lib/end_one.lua` knows it."""
