"""Program like a prefork server: a client that was used before the fork works after it.

`forking.py ADDRESS QUEUE` prints how many answers each process has got.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback

from identtqueue import SyncClient

CHILDREN = 4
TASKS = 20


def use(client: SyncClient, queue: str, who: str) -> int:
    """Enqueue and wait, in two threads."""
    answers: list[object] = []

    def few(part: int) -> None:
        for n in range(TASKS // 2):
            task_id = client.enqueue_job(queue, "echo", who, part, n)
            answers.append(client.wait_for_result(task_id, 60) == [[who, part, n], {}])

    threads = [threading.Thread(target=few, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers.count(True)


def child(client: SyncClient, queue: str, number: int) -> None:
    code = 1
    try:
        code = 0 if use(client, queue, f"child {number}") == TASKS else 1
        client.close()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    signal.alarm(90)  # whatever hangs ends
    address, queue = sys.argv[1:]
    client = SyncClient(address)
    use(client, queue, "before the fork")
    # Locks are held and waits are open at the moment of the fork.
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            client.enqueue_job(queue, "echo")

    open_wait = client.enqueue_job(f"{queue}-idle", "echo")
    threads = [threading.Thread(target=busy) for _ in range(3)]
    threads.append(threading.Thread(target=client.wait_for_result, args=(open_wait, 60)))
    for thread in threads:
        thread.start()
    children = []
    for number in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            signal.alarm(90)
            child(client, queue, number)
        children.append(pid)
    mine = use(client, queue, "parent")
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    client.enqueue_job(queue, "finish", open_wait)
    for thread in threads:
        thread.join()
    client.close()
    print(f"children {codes} parent {mine}")


if __name__ == "__main__":
    main()
