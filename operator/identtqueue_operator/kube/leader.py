"""One of several operator replicas works at a time: the holder of a Lease.

The election itself is `kubernetes.aio`'s. Added here: an API server that does not answer is a
failed attempt and not the end of the election; requests have time-outs; a leader that stops gives
the Lease back, so that the next one starts within two seconds instead of twelve.

Two leaders at once for a moment (a process frozen beyond its lease) do no harm: every write is
conditional or idempotent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import FIELD_MANAGER
from identtqueue_operator.model import Key
from identtqueue_operator.settings import LEASE_NAME

logger = logging.getLogger(__name__)

LEASE_SECONDS = 12
RENEW_DEADLINE_SECONDS = 8
RETRY_SECONDS = 2
"""A candidate sees up to two retries late that the lease ran out, and has to start: so a killed
leader is replaced in less than 20 s. Kubernetes' own components take 15, 10 and 2 s."""
REQUEST_SECONDS = 3.0
"""Time-out of a request, so that a hanging one can't delay the renewal past its deadline."""


class Leader:
    """This replica's candidacy."""

    def __init__(self, api: client.ApiClient, kube: Kube, namespace: str, identity: str) -> None:
        self._kube = kube
        self._key = Key(namespace, LEASE_NAME)
        self._identity = identity
        lock = self._lock = _PatientLock(LEASE_NAME, namespace, identity, api)
        self._election = LeaderElection(
            Config(
                lock,
                lease_duration=LEASE_SECONDS,
                renew_deadline=RENEW_DEADLINE_SECONDS,
                retry_period=RETRY_SECONDS,
                onstarted_leading=_nothing,
                onstopped_leading=_nothing,
            )
        )

    async def acquire(self) -> None:
        """Wait until this replica is the leader."""
        logger.info("waiting for the Lease %s as %s", self._key, self._identity)
        await self._election.acquire()
        self._lock.leads = True
        logger.info("leading")

    async def hold(self) -> None:
        """Renew; returns when the lease is lost."""
        tasks = [asyncio.ensure_future(each) for each in self._ways_to_lose()]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        what = (
            "is held by another replica"
            if self._lock.taken.is_set()
            else "could not be renewed in time"
        )
        logger.error("the Lease %s %s", self._key, what)

    def _ways_to_lose(self) -> tuple[Coroutine[Any, Any, object], ...]:
        # The election alone would try for ten more seconds to renew what another replica holds by
        # now: a process that was frozen for longer than the lease must stop as soon as it wakes.
        return self._election.renew_loop(), self._lock.taken.wait()

    async def release(self) -> None:
        """Give the lease back, if it is still ours."""
        try:
            await self._kube.release_lease(self._key, self._identity)
        except ApiError as error:
            logger.warning("the Lease %s was not released and will expire: %s", self._key, error)


async def _nothing() -> None:
    """Do nothing: the election is driven from outside, not by its callbacks."""


class _PatientLock(LeaseLock):
    """A Lease whose requests end in time, and whose failures are failures, not exceptions.

    Attributes:
        leads: this replica has acquired it.
        taken: set when another replica turns out to hold it although this one leads.
    """

    def __init__(self, name: str, namespace: str, identity: str, api: client.ApiClient) -> None:
        super().__init__(name, namespace, identity, api)
        self.leads = False
        self.taken = asyncio.Event()

    async def get(self, name: str, namespace: str) -> Any:
        """Read the Lease: (True, record), or (False, error)."""
        try:
            found, record = await _in_time(super().get(name, namespace))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return False, ApiException(status=0, reason=str(error) or type(error).__name__)
        holder = record.holder_identity if found and record is not None else None
        if self.leads and holder not in (None, "", self.identity):
            self.taken.set()
        return found, record

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """Create the Lease, and return whether that succeeded.

        Not the inherited one: it passes `pretty=True`, which its own client refuses (37.0.2).
        """
        lease = client.V1Lease(
            metadata=client.V1ObjectMeta(name=name), spec=self.update_lease(election_record)
        )
        return await _succeeds(
            self.api_instance.create_namespaced_lease(namespace, lease, field_manager=FIELD_MANAGER)
        )

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        """Update the Lease, and return whether that succeeded; not if another was first."""
        assert self.lease_reference is not None
        self.lease_reference.spec = self.update_lease(updated_record, self.lease_reference.spec)
        return await _succeeds(
            self.api_instance.replace_namespaced_lease(
                name, namespace, self.lease_reference, field_manager=FIELD_MANAGER
            )
        )


async def _in_time(request: Awaitable[Any]) -> Any:
    async with asyncio.timeout(REQUEST_SECONDS):
        return await request


async def _succeeds(request: Awaitable[object]) -> bool:
    try:
        await _in_time(request)
    except ApiException as error:
        # 409: another candidate was quicker. That is what an election is.
        logger.log(logging.DEBUG if error.status == 409 else logging.WARNING, "lease: %s", error)
        return False
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        logger.warning("lease: %s", str(error) or type(error).__name__)
        return False
    return True
