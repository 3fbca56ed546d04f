"""One operator for each TaskQueue: settles it with the others, by what `policy.claims` says.

The claims stand in `status.operator`. They are written apart from the rest of the status, because
an operator that does not manage the TaskQueue writes them too.
"""

import logging
from collections.abc import Mapping
from typing import Any

from identtqueue_operator.logs import about
from identtqueue_operator.model import Key
from identtqueue_operator.policy.claims import ASK_AGAIN_SECONDS, Claim, Stance, choose_stance
from identtqueue_operator.rounds.tools import Tools

logger = logging.getLogger(__name__)


class Ownership:
    """Whether this operator manages a TaskQueue.

    Args:
        key: of the TaskQueue.
        status: as stored when the operator first saw it.
        tools: shared.
    """

    def __init__(self, key: Key, status: Mapping[str, Any], tools: Tools) -> None:
        self._key = key
        self._tools = tools
        self._claim = Claim.read(status)
        self._foreign_status = status if self.is_anothers else {}
        """The status as another operator wrote it last, while that one manages the TaskQueue."""
        self._asked_at: float | None = None
        """When the other operator was last asked whether it is alive."""
        self._challenger: tuple[str, float] = ("", float("-inf"))
        """The operator that asked this one, and when."""

    @property
    def is_anothers(self) -> bool:
        """Whether another operator is recorded as the one that manages the TaskQueue."""
        return self._claim.name not in ("", self._tools.operator_name)

    @property
    def challenger(self) -> str:
        """Name of an operator that serves the TaskQueue too; empty if none has asked lately."""
        name, heard_at = self._challenger
        return name if self._tools.steady() - heard_at < 1.5 * ASK_AGAIN_SECONDS else ""

    def read(self, status: Mapping[str, Any]) -> bool:
        """Read the claims in a status; return whether they have changed."""
        before, self._claim = self._claim, Claim.read(status)
        if self.is_anothers:
            self._foreign_status = status
        return self._claim != before

    def take_over_status(self) -> Mapping[str, Any]:
        """Return the status that the operator before this one has left, and drop it."""
        status, self._foreign_status = self._foreign_status, {}
        return status

    async def settle(self) -> tuple[Stance, float]:
        """Settle with other operators which one manages the TaskQueue, and write that down.

        Returns:
            This operator's part now, and for how many seconds that applies.

        Raises:
            ApiError: a claim could not be written.
        """
        me, steady = self._tools.operator_name, self._tools.steady()
        patience = self._tools.timings.answer_seconds
        stance, seconds = choose_stance(me, self._claim, self._asked_at, steady, patience)
        match stance:
            case Stance.ANSWER:
                self._challenger = (self._claim.challenged_by, steady)
                await self._write({"name": me, "challengedBy": None})
            case Stance.ASK:
                text = "%s: operator %s manages it, so this one leaves it alone"
                logger.warning(text, self._key, self._claim.name, extra=about(self._key))
                self._asked_at = steady
                await self._write({"challengedBy": me})
            case Stance.TAKE_OVER:
                text = "%s: operator %s does not answer; this one takes over"
                logger.warning(text, self._key, self._claim.name, extra=about(self._key))
                await self._write({"name": me, "challengedBy": None})
                self._asked_at = None
        return stance, seconds

    async def _write(self, patch: dict[str, str | None]) -> None:
        await self._tools.kube.patch_status(self._key, {"operator": patch})
        written = {"name": self._claim.name, "challengedBy": self._claim.challenged_by} | patch
        self._claim = Claim.read({"operator": written})
