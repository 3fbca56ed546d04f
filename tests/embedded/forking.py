"""Program that forks while it uses an embedded server: `forking.py ADDRESS`.

The parent ends at once. The child enqueues a task for each line on standard input, prints how many
are pending, and ends with the input.
"""

from __future__ import annotations

import os
import sys

from identtqueue import SyncClient

QUEUE = "embedded"


def main() -> None:
    client = SyncClient(sys.argv[1])
    client.enqueue_job(QUEUE, "job")
    if os.fork():
        os._exit(0)
    print("forked", flush=True)
    for _ in sys.stdin:
        client.enqueue_job(QUEUE, "job")
        print(client.queue_length(QUEUE), flush=True)


if __name__ == "__main__":
    main()
