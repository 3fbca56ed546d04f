"""The clients of a process, one for each set of options.

Django keeps a backend for each thread and each context. A client of its own for each would open a
connection for each request.
"""

from __future__ import annotations

from typing import Final

from identtqueue.client.sync import SyncClient
from identtqueue.django.options import BackendOptions

_clients: Final[dict[BackendOptions, SyncClient]] = {}


def client_of(options: BackendOptions) -> SyncClient:
    """Return the client for these options. It connects with its first call.

    No lock is taken, since a thread of a parent process may have held it at the fork.
    """
    found = _clients.get(options)
    if found is None:
        made = SyncClient(
            options.redis_address,
            retry_for_seconds=options.retry_for_seconds,
            max_payload_bytes=options.max_payload_bytes,
        )
        found = _clients.setdefault(options, made)  # another thread may have been faster
    return found
