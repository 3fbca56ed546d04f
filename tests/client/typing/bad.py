"""What a type checker must refuse: every line that is marked."""

from good import app, in_a_thread, read_mrz

from identtqueue import Job

app.task(max_runing=4)  # refused: no such option
app.task(max_running="4")  # refused: the type of an option
app.task(run_in="fibre")  # refused: a place that does not exist
Job(name="job", function=print, max_runing=4)  # refused: no such option
Job(name="job", function=print, max_running="4")  # refused: the type of an option


async def use() -> None:
    await read_mrz.enqueue(5)  # refused: the type of an argument
    await read_mrz.enqueue()  # refused: a missing argument
    await read_mrz.enqueue("a", "b")  # refused: one too many
    await read_mrz.enqueue("a", zoom=2)  # refused: no such name
    await read_mrz.enqueue("a", dpi="high")  # refused: the type of a keyword argument
    await in_a_thread.enqueue("x")  # refused: in plain functions too
    await app.enqueue_many([read_mrz.call(1.5)])  # refused: and where many are enqueued
    await read_mrz.options(delay_seconds=1).enqueue(5)  # refused: and with options
    text: str = await (await in_a_thread.enqueue(1)).result()  # refused: the result's type
    print(text)

    read_mrz.enqueue_sync(7)  # refused
