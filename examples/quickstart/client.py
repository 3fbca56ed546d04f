"""The client: enqueues one task and awaits its result."""

import asyncio

from identtqueue import Client


async def main():
    client = Client()  # the address is in IDENTTQUEUE_REDIS_ADDRESS
    await client.connect()
    task_id = await client.enqueue_job(
        queue_name="mrz", function_name="rnd_magic", path="s3://bucket/document.jpg"
    )
    print("enqueued", task_id, "- its status is", await client.get_status(task_id))
    print("result", await client.wait_for_result(task_id))
    print("and again", await client.get_result(task_id), await client.get_status(task_id))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
