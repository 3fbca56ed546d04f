"""The clients: enqueue tasks, await their results.

`client` is the asyncio client and `sync` the blocking one, and `settings` is what both take.
`results` waits for results, `many` for several of them, and `progress` watches tasks on their way.
`connections` passes on what wakes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from identtqueue import load_name

if TYPE_CHECKING:
    from identtqueue.client.client import Client as Client


def __getattr__(name: str) -> Any:
    return load_name(__name__, {"Client": "client"}, name)
