"""Code that type checkers must refuse: every line that is marked, and no other."""

from good import Services, app, connect, in_a_thread, read_mrz, typed, with_state

from identtqueue import App, Context, Job, TaskHandle, TaskOptions, Worker
from identtqueue.testing import Inline, Recorder

# Declarations.
app.task(max_runing=4)  # refused 1: there is no such option of a job
app.task(max_running="4")  # refused 2: the type of an option of a job
app.task(run_in="fibre")  # refused 2
Job(name="job", function=read_mrz.function, max_runing=4)  # refused 1
Job(name="job", function=read_mrz.function, max_running="4")  # refused 2


@app.task  # refused 3: a declaration without ctx
async def without_context(path: str) -> str:
    return path


@app.task(queue="mrz")  # refused 3
def without_parameters() -> None: ...


def with_a_path(path: str) -> None: ...


Worker({"job": with_a_path}, queue_name="q")  # refused 3


# The state.
class Other:
    name: str = ""


@typed.task  # refused 4: a context with another state
async def with_another_state(ctx: Context[Other]) -> None: ...


@typed.task
async def with_its_state(ctx: Context[Services]) -> None:
    print(ctx.state.pol)  # refused 5: an attribute that the state does not have
    ctx.state.pool = 5  # refused 5


@typed.on_startup  # refused 6: a hook with other arguments
def starts_without_state() -> None: ...


@typed.on_startup  # refused 6
def starts_with_another_state(state: Other) -> None: ...


@typed.after_task  # refused 6
async def counts_nothing(ctx: Context) -> None: ...


App("redis://redis", state=Other, on_startup=connect)  # refused 6
Worker({}, queue_name="q", before_task=connect)  # refused 6


class NeedsMore:
    def __init__(self, pool: str) -> None: ...


App("redis://redis", state=NeedsMore)  # refused 7: a state that needs arguments
typed.include(App(state=Other))  # refused 8: an app with another state
typed.include(with_state)  # refused 8

# Settings of apps and workers.
App("redis://redis", max_payload=3)  # refused 9: there is no such setting of an app
App("redis://redis", max_payload_bytes="3")  # refused 10: the type of a setting of an app
app.worker(concurency=3)  # refused 11: there is no such setting of a worker
Worker({}, queue_name="q", concurency=3)  # refused 11
Inline(app, concurency=3)  # refused 11
app.worker(concurrency="3")  # refused 12: the type of a setting of a worker
app.worker(queue_order="random")  # refused 12
Worker({}, queue_name="q", grace_seconds="5")  # refused 12
Inline(app, grace_seconds="5")  # refused 12

# Options of a task.
read_mrz.options(delay=3)  # refused 13: there is no such option of a task
TaskOptions(delay=3)  # refused 13
read_mrz.options(delay_seconds="3")  # refused 14: the type of an option of a task
read_mrz.options(on_existing="ignore")  # refused 14

# Schedules.
app.cron("* * * * *", read_mrz)  # refused 15: arguments of a job that has a schedule
app.cron("* * * * *", read_mrz, 5)  # refused 15
app.cron("* * * * *", read_mrz, "a", zoom=2)  # refused 15
app.cron("* * * * *", read_mrz.call(5), timezone="UTC")  # refused 15
app.cron("* * * * *", read_mrz.call("a"), "b")  # refused 15


async def use(ctx: Context) -> None:
    # Enqueue and await.
    await read_mrz.enqueue(5)  # refused 16: the type of an argument
    await read_mrz.enqueue("a", dpi="high")  # refused 16
    await in_a_thread.enqueue("x")  # refused 16
    await app.enqueue_many([read_mrz.call(1.5)])  # refused 16
    await read_mrz.options(delay_seconds=1).enqueue(5)  # refused 16
    read_mrz.enqueue_sync(7)  # refused 16
    Recorder(app).assert_enqueued(read_mrz, 5)  # refused 16
    await read_mrz.enqueue()  # refused 17: an argument that is missing, or one too many
    await read_mrz.enqueue("a", "b")  # refused 17
    await read_mrz.enqueue("a", zoom=2)  # refused 17
    text: str = await (await in_a_thread.enqueue(1)).result()  # refused 18: the type of the result
    handle: TaskHandle[int] = in_a_thread.handle("mrz:42")  # refused 18
    print(text, handle)
    read_mrz.handle(42)  # refused 19: an id that is no text

    # A direct call.
    await read_mrz("a")  # refused 20: the arguments of a direct call
    await read_mrz(ctx)  # refused 20
    await read_mrz(ctx, 5)  # refused 20
    in_a_thread(ctx, n="x")  # refused 20
    number: int = await read_mrz(ctx, "a")  # refused 21: the type of a direct call
    plain: str = in_a_thread(ctx, 3)  # refused 21
    print(number, plain)
