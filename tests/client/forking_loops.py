"""Program that forks while an asyncio client is in use. The child uses it in its own event loop.

`forking_loops.py ADDRESS QUEUE HOW`: HOW says what the parent's loop does at the fork. `idle`: it
runs in a thread. `busy`: the same, with open calls and waits. `preload`: it has connected, and
does not run. `multiprocessing`: as `idle`, but the standard library forks. `careless`: there is no
fork; the loop is closed with everything in it, and another one starts.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback

from identtqueue import App, Client
from identtqueue.admin import Admin

SECONDS = 30


class Program:
    """All objects that a module of an application might have."""

    def __init__(self, address: str, queue: str) -> None:
        self.queue = queue
        self.client = Client(address)
        self.admin = Admin(address)
        self.app = App(address)

        @self.app.task(queue=queue)
        async def echo(_ctx, value): ...

        self.echo = echo

    async def use(self) -> int:
        """Use all objects; return the number of uses."""
        await self.app.connect()
        for n in range(3):
            task_id = await asyncio.wait_for(
                self.client.enqueue_job(self.queue, "echo", n), SECONDS
            )
            task = await asyncio.wait_for(self.echo.enqueue(n), SECONDS)
            assert await self.client.get_status(task_id) == "pending"
            assert await task.status() == "pending"
            assert (await self.admin.depths([self.queue]))[self.queue].queued > n
        return 9

    async def keep_busy(self, begun: threading.Event) -> None:
        task_id = await self.client.enqueue_job(self.queue, "echo")
        wait = asyncio.ensure_future(self.client.wait(task_id))
        while True:
            await asyncio.gather(*(self.client.queue_length(self.queue) for _ in range(50)))
            assert not wait.done()
            begun.set()


def child(program: Program) -> None:
    print("child", asyncio.run(program.use()), "ok", flush=True)
    program.client = program.admin = program.app = program.echo = None

    async def collect() -> None:
        gc.collect()  # within a loop: whatever can close itself does

    asyncio.run(collect())


def fork(program: Program) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(2 * SECONDS)
            child(program)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    signal.alarm(2 * SECONDS)
    address, queue, how = sys.argv[1:]
    program = Program(address, queue)
    loop = asyncio.new_event_loop()
    if how == "preload":
        loop.run_until_complete(program.use())
        code = fork(program)
        loop.run_until_complete(program.use())
    elif how == "careless":
        loop.run_until_complete(program.use())
        loop.close()
        child(program)
        code = 0
    else:
        threading.Thread(target=loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(program.use(), loop).result(SECONDS)
        if how == "busy":
            begun = threading.Event()
            busy = asyncio.run_coroutine_threadsafe(program.keep_busy(begun), loop)
            assert begun.wait(SECONDS)
        if how == "multiprocessing":
            process = multiprocessing.get_context("fork").Process(target=child, args=(program,))
            process.start()
            process.join(SECONDS)
            code = process.exitcode
        else:
            code = fork(program)
        for _ in range(3):
            asyncio.run_coroutine_threadsafe(program.use(), loop).result(SECONDS)
        if how == "busy":
            assert not busy.done()
    print("parent ok" if code == 0 else f"the child ended with {code}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
