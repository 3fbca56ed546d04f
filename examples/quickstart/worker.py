"""The worker: runs the job `rnd_magic` for all clients that enqueue it."""

import random

from identtqueue import Worker


async def rnd_magic(ctx, *args, **kwargs):
    ctx.logger.info("attempt %d with %s %s", ctx.attempt, args, kwargs)
    return random.randint(1, 100)


if __name__ == "__main__":
    # The address is in IDENTTQUEUE_REDIS_ADDRESS.
    Worker(jobs={"rnd_magic": rnd_magic}, queue_name="mrz").run()
