"""What a type checker must accept, and which types it must find."""

from typing import assert_type

from identtqueue import (
    App,
    AppJob,
    Client,
    Context,
    Job,
    JobCall,
    RateLimit,
    Receipt,
    Result,
    RetryPolicy,
    Submission,
    SyncTaskHandle,
    TaskHandle,
)

app = App("redis://redis")


@app.task(queue="mrz", timeout_seconds=30, max_retries=3)
async def read_mrz(ctx: Context, path: str, *, dpi: int = 300) -> list[str]:
    return [path] * dpi


@app.task
def in_a_thread(ctx: Context, n: int) -> float:
    return n / 2


@app.task(
    name="limited",
    run_in="process",
    retry=RetryPolicy(max_retries=2),
    max_running=4,
    rate_limit=RateLimit(100, per_seconds=60),
)
def with_every_option(ctx: Context, n: int) -> int:
    return n


job = Job(name="limited", function=in_a_thread.function, run_in="thread", max_running=4)
assert_type(job.max_running, int | None)


async def use() -> None:
    task = await read_mrz.enqueue("s3://bucket/document.jpg", dpi=600)
    assert_type(task, TaskHandle[list[str]])
    assert_type(await task.result(timeout_seconds=10), list[str])
    assert_type(await (await in_a_thread.enqueue(3)).result(), float)
    tasks = await app.enqueue_many(read_mrz.call(path) for path in ("a", "b"))
    assert_type(tasks, list[TaskHandle[list[str]]])
    delayed = await read_mrz.options(delay_seconds=60).enqueue("c")
    assert_type(delayed, TaskHandle[list[str]])
    assert_type(await (await with_every_option.enqueue(3)).result(), int)


def use_without_a_loop() -> None:
    task = read_mrz.enqueue_sync("s3://bucket/document.jpg", dpi=600)
    assert_type(task, SyncTaskHandle[list[str]])
    assert_type(task.result(timeout_seconds=10), list[str])
    tasks = app.enqueue_many_sync(in_a_thread.call(n) for n in (1, 2))
    assert_type(tasks, list[SyncTaskHandle[float]])


def double(job: AppJob[[int], float]) -> list[JobCall[float]]:
    return [job.call(1), job.call(2)]


async def plainly(client: Client, submission: Submission) -> None:
    receipt = await client.submit(submission)
    assert_type(receipt, Receipt)
    assert_type(await client.wait_many([receipt.task_id]), list[Result])


calls = double(in_a_thread)
