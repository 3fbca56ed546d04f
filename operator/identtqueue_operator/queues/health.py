"""The health of one Redis: whether it can serve the TaskQueues, since when, and what is wrong.

Trouble concerns all TaskQueues when Redis can't be reached or refuses the login. What it refuses of
one queue (an ACL that lacks its keys or its channel, a key of another type) is the trouble of the
TaskQueues with that queue, and of no others.

Without trouble, `source` says for how long Redis has been reachable, and up, without a break. The
operator acts on expired leases only after such a time: see `policy.evidence`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from identtqueue.errors import IdenttqueueError, RedisProtocolError
from identtqueue_operator.model import Source, SourceTrouble
from identtqueue_operator.queues.redis_errors import explain, trouble_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """The state of all TaskQueues, or of one owner; on the loop's clock."""

    trouble: SourceTrouble | None = None
    message: str = ""
    since: float = float("-inf")
    """When the trouble began. Without trouble: since when Redis is reachable and up, unbroken."""


class Health:
    """The health of one Redis, for all TaskQueues together and for each owner of listeners.

    Args:
        address: address of the Redis without credentials, for messages.
        on_change: called when trouble that concerns all begins, changes or ends.
    """

    def __init__(self, address: str, on_change: Callable[[], None]) -> None:
        self.well = asyncio.Event()
        """Set while Redis answers. It is not set before the first answer."""
        self._address = address
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._shared = _State(since=self._loop.time())  # `reached` corrects it by Redis' uptime
        self._own: dict[str, _State] = {}

    @property
    def in_trouble(self) -> bool:
        """Whether no TaskQueue can be served."""
        return self._shared.trouble is not None

    @property
    def outage_seconds(self) -> float:
        """Time for which no TaskQueue could be served; 0 without trouble."""
        return self._loop.time() - self._shared.since if self.in_trouble else 0.0

    def source(self, owner: str) -> Source:
        """Return the state of the connection, as one round of a TaskQueue takes it in."""
        shared, own, now = self._shared, self._own.get(owner, _State()), self._loop.time()
        worse = own if shared.trouble is None else shared
        if worse.trouble is None:
            return Source(trusted_seconds=now - max(shared.since, own.since))
        return Source(worse.trouble, worse.message, now - worse.since, trusted_seconds=0.0)

    # --- of all TaskQueues ---

    def failed(self, error: IdenttqueueError) -> None:
        """Note trouble that concerns all TaskQueues. It lasts until `reached`."""
        self.well.clear()
        before, self._shared = self._shared, self._after(self._shared, error)
        if before.trouble != self._shared.trouble:
            self._on_change()

    def interrupted(self) -> None:
        """Note that a connection was lost, which is not yet trouble."""
        if not self.in_trouble:
            self._shared = _State(since=self._loop.time())

    def reached(self, uptime_seconds: float) -> None:
        """Note that Redis answers.

        Args:
            uptime_seconds: time since Redis was started, as it says itself.
        """
        self.well.set()
        now = self._loop.time()
        if not self.in_trouble:
            self._shared = _State(since=now - uptime_seconds)
            return
        logger.info("redis reachable again: %s", self._address)
        self._shared = _State(since=now)
        self._on_change()

    # --- of one owner ---

    def refused(self, owner: str, error: IdenttqueueError) -> None:
        """Note trouble of one owner. It lasts until `answered`."""
        self._own[owner] = self._after(self._own.get(owner, _State()), error)

    def answered(self, owner: str) -> None:
        """Note that Redis has answered everything that an owner asked."""
        if self._own.get(owner, _State()).trouble is not None:
            self.distrust(owner)

    def distrust(self, owner: str) -> None:
        """Note that an owner has had trouble until now, here or at another endpoint.

        Its workers may have had it too, and may have been unable to renew their leases.
        """
        self._own[owner] = _State(since=self._loop.time())

    def forget(self, owner: str) -> None:
        """Forget the trouble of an owner, because it is gone."""
        self._own.pop(owner, None)

    # --- errors ---

    def translate(self, problem: Exception, doing: str) -> IdenttqueueError:
        """Return the problem as an error of the library; log one that was not foreseen.

        No loop may end by an unforeseen error: the TaskQueues of this Redis would stand still, and
        look well.

        Args:
            problem: any exception.
            doing: the loop that met it, for the log.
        """
        if isinstance(problem, IdenttqueueError):
            return problem
        logger.error("%s of %s failed", doing, self._address, exc_info=problem)
        kind = type(problem).__name__
        return RedisProtocolError(f"its answers can't be read ({kind}; see the operator's log)")

    def _after(self, before: _State, error: IdenttqueueError) -> _State:
        trouble = trouble_of(error)
        since = self._loop.time() if before.trouble is None else before.since
        message = f"{self._address}: {explain(error)}"
        if before.trouble != trouble:
            # The log has what was answered, the status has not: see `redis_errors`.
            logger.warning("%s: %s: %s", trouble, self._address, error)
        return _State(trouble, message, since)
