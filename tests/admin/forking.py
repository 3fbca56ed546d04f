"""Program like a prefork server: a BlockingAdmin that was used before the fork works after it.

`forking.py ADDRESS QUEUE` prints the exit code of each child, and the answers of the parent.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback

from identtqueue.admin import BlockingAdmin

CHILDREN = 4
ROUNDS = 20


def use(admin: BlockingAdmin, queue: str) -> int:
    """Ask and act, in two threads; return how many answers were right."""
    answers: list[bool] = []

    def few() -> None:
        for _ in range(ROUNDS // 2):
            answers.append(admin.depths([queue])[queue].queued == 0)

    threads = [threading.Thread(target=few) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job = f"job-{os.getpid()}"
    answers += [admin.pause_job(queue, job), admin.resume_job(queue, job)]
    return answers.count(True)


def child(admin: BlockingAdmin, queue: str) -> None:
    code = 1
    try:
        code = 0 if use(admin, queue) == ROUNDS + 2 else 1
        admin.close()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    signal.alarm(90)  # whatever hangs ends
    address, queue = sys.argv[1:]
    admin = BlockingAdmin(address)
    use(admin, queue)
    # Calls are under way, and locks are held, at the moment of the fork.
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            admin.depths([queue])

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            signal.alarm(90)
            child(admin, queue)
        children.append(pid)
    mine = use(admin, queue)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    for thread in threads:
        thread.join()
    admin.close()
    print(f"children {codes} parent {mine}")


if __name__ == "__main__":
    main()
