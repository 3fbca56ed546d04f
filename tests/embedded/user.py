"""Program that uses an embedded server: `user.py ADDRESS`.

For each line on standard input it enqueues a task and prints how many tasks are pending. It ends
at the end of the input, in order.
"""

from __future__ import annotations

import sys

from identtqueue import SyncClient

QUEUE = "embedded"


def main() -> None:
    client = SyncClient(sys.argv[1])
    print("ready", flush=True)
    for _ in sys.stdin:
        client.enqueue_job(QUEUE, "job")
        print(client.queue_length(QUEUE), flush=True)


if __name__ == "__main__":
    main()
