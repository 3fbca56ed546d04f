"""Program like a prefork server: a BlockingAdmin that was used before the fork works after it.

`forking.py ADDRESS QUEUE` prints the exit code of each child, and the answers of the parent.
"""

from __future__ import annotations

import os
import sys

from identtqueue.admin import BlockingAdmin
from testing import forking

ROUNDS = 20


def use(admin: BlockingAdmin, queue: str) -> int:
    """Ask and act, in two threads; return how many answers were right."""
    answers: list[bool] = []

    def few() -> None:
        for _ in range(ROUNDS // 2):
            answers.append(admin.depths([queue])[queue].queued == 0)

    forking.in_threads(few, few)
    job = f"job-{os.getpid()}"
    answers += [admin.pause_job(queue, job), admin.resume_job(queue, job)]
    return answers.count(True)


def main() -> None:
    address, queue = sys.argv[1:]
    admin = BlockingAdmin(address)
    use(admin, queue)

    def child(_number: int) -> bool:
        is_right = use(admin, queue) == ROUNDS + 2
        admin.close()
        return is_right

    # Calls are under way, and locks are held, at the moment of the fork.
    with forking.busy(lambda: admin.depths([queue])):
        children = forking.fork(child)
        mine = use(admin, queue)
        codes = forking.exit_codes(children)
    admin.close()
    print(f"children {codes} parent {mine}")


if __name__ == "__main__":
    main()
