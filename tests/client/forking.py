"""Program like a prefork server: a client that was used before the fork works after it.

`forking.py ADDRESS QUEUE` prints the exit code of each child, and the answers of the parent.
"""

from __future__ import annotations

import sys
import threading
from functools import partial

from identtqueue import SyncClient
from testing import forking

TASKS = 20


def use(client: SyncClient, queue: str, who: str) -> int:
    """Enqueue and wait, in two threads; return how many answers were right."""
    answers: list[object] = []

    def few(part: int) -> None:
        for n in range(TASKS // 2):
            task_id = client.enqueue_job(queue, "echo", who, part, n)
            answers.append(client.wait_for_result(task_id, 60) == [[who, part, n], {}])

    forking.in_threads(partial(few, 0), partial(few, 1))
    return answers.count(True)


def main() -> None:
    address, queue = sys.argv[1:]
    client = SyncClient(address)
    use(client, queue, "before the fork")

    def child(number: int) -> bool:
        is_right = use(client, queue, f"child {number}") == TASKS
        client.close()
        return is_right

    # Locks are held and waits are open at the moment of the fork.
    open_wait = client.enqueue_job(f"{queue}-idle", "echo")
    waiting = threading.Thread(target=client.wait_for_result, args=(open_wait, 60))
    waiting.start()
    with forking.busy(lambda: client.enqueue_job(queue, "echo")):
        children = forking.fork(child)
        mine = use(client, queue, "parent")
        codes = forking.exit_codes(children)
    client.enqueue_job(queue, "finish", open_wait)
    waiting.join()
    client.close()
    print(f"children {codes} parent {mine}")


if __name__ == "__main__":
    main()
