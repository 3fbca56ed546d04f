"""The clients: enqueue tasks, await their results.

`client` is the asyncio client and `sync` the blocking one. `results` waits for results, `many` for
several of them, and `progress` watches tasks on their way. `connections` passes on what wakes
them. `background` lends the asyncio client to threads.
"""

from __future__ import annotations

from identtqueue.client.client import Client as Client
