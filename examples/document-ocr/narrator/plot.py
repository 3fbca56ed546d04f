"""The chapters: from zero to all workers, a kill, all pages, back to zero, and the ledger."""

from narrator import fault, ledger
from narrator.fault import Killed
from narrator.observer import NotSeen, Observer, Stamped
from narrator.stage import Demo, Scene
from narrator.world import QUEUE

MEAN_ACCURACY, PAGE_ACCURACY = 0.97, 0.90
PAGES_BEFORE_THE_KILL = 8
TEN_PAGES_TIMEOUT_SECONDS = 240


async def start_producer(demo: Demo, scene: Scene) -> None:
    """Start the application, and wait until it has scanned its documents."""
    demo.tell.chapter("From zero: an application enqueues its documents")
    await demo.world.start_producer(demo.tell)
    scene.observer.follow_producer()
    scanned = await first(scene.observer, "scanned", 180)
    demo.tell.say(
        f"producer: {scanned.what['pages']} pages scanned in {scanned.what['seconds']} s, "
        f"{scanned.what['kib'] / 1024:.0f} MiB",
        at=scanned.at,
    )


async def scale_up(demo: Demo, scene: Scene) -> None:
    """Measure the time from the first enqueue to the first worker."""
    tell, observer = demo.tell, scene.observer
    with tell.in_order():
        enqueued = await first(observer, "enqueued", 60)
        scene.task_ids = [page["task_id"] for page in enqueued.what["pages"]]
        tasks = await fault.infos(scene.client, scene.task_ids)
        began = scene.first_enqueue = scene.here(min(task.enqueued_at_ms for task in tasks))
        tell.say("FIRST ENQUEUE (the queue was empty, the workers zero)", at=began)
        patched_at, replicas = await observer.until(
            lambda: next((change for change in observer.replicas if change[1] > 0), None),
            30,
            "replicas to rise",
        )
        milliseconds = f"{(patched_at - began) * 1000:.0f} ms"
        tell.say(
            f"REPLICAS PATCHED 0 -> {replicas}, {milliseconds} after the first enqueue "
            "(seen by a watch)",
            at=patched_at,
        )
        tell.say(
            f"producer: all {len(scene.task_ids)} pages enqueued in {enqueued.what['seconds']} s",
            at=enqueued.at,
        )
    demo.figures.append(("first enqueue -> replicas PATCHed", milliseconds, f"0 -> {replicas}"))
    ready_at = await observer.until(
        lambda: min((p.ready_at for p in observer.pods.values() if p.ready_at), default=None),
        90,
        "a worker pod to be ready",
    )
    tell.say(f"FIRST POD READY {ready_at - began:.1f} s after the first enqueue", at=ready_at)
    demo.figures.append(("first enqueue -> first pod ready", f"{ready_at - began:.1f} s", ""))


async def first_page(demo: Demo, scene: Scene) -> None:
    """Wait for the first text, and until all workers are ready."""
    observer = scene.observer
    page = await first(observer, "read", 120)
    since = page.at - scene.first_enqueue
    demo.tell.say(
        f"first page read, {since:.1f} s after the first enqueue: "
        f'{page.what["page"]}, "{page.what["first_words"]} ..."',
        at=page.at,
    )
    replicas = observer.replicas[-1][1]
    await observer.until(
        lambda: observer.ready_replicas >= replicas, 120, f"all {replicas} workers to be ready"
    )
    await demo.world.show_queue(demo.tell)


async def first(observer: Observer, event: str, seconds: float) -> Stamped:
    """Wait for the producer's first event of one kind."""
    return await observer.until(
        lambda: next(iter(observer.said(event)), None), seconds, f"the producer to say '{event}'"
    )


async def kill_a_worker(demo: Demo, scene: Scene) -> None:
    """Kill a worker in the middle of a page, and show how fast the page is run again, and where."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("A worker is killed in the middle of a page")
    await observer.until(
        lambda: len(observer.said("read")) >= PAGES_BEFORE_THE_KILL,
        TEN_PAGES_TIMEOUT_SECONDS,
        f"{PAGES_BEFORE_THE_KILL} pages to be read",
    )
    with tell.in_order():
        killed = await fault.kill_mid_page(scene.client, observer, demo.world, scene.task_ids)
        pod, began_at = killed.pod, scene.here(killed.task.started_at_ms or 0)
        tell.say(
            f"SIGKILL to {pod.name} (process {killed.pid} on {pod.node}), "
            f"{killed.at - began_at:.1f} s into {killed.task.task_id}",
            at=killed.at,
        )
        if killed.misses:
            tell.say(f"(killed before it, but a page too late: {killed.misses} workers)")
        await tell_recovery(demo, scene, killed)
    await observer.until(
        lambda: pod.restarts > 0 and pod.exit_code is not None,
        60,
        f"{demo.world.kubelet} to report the end",
    )
    tell.say(
        f"{demo.world.kubelet}: {pod.name}: exit code {pod.exit_code}, restarts {pod.restarts}"
    )
    await demo.world.show_queue(demo.tell)


async def tell_recovery(demo: Demo, scene: Scene, killed: Killed) -> None:
    """Report what happens to the page of the worker that was killed."""
    requeued_at = await fault.until_requeued(scene.client, killed, 40)
    again = await fault.until_running_again(scene.client, killed, 120)
    started_at = scene.here(again.started_at_ms or 0)
    requeued_at = min(requeued_at, started_at)  # claimed again before it was looked at
    requeued = f"{requeued_at - killed.at:.1f} s"
    by = await who_requeued(scene.observer, killed)
    demo.tell.say(f"TASK REQUEUED {requeued} after the kill by {by}", at=requeued_at)
    running = f"{started_at - killed.at:.1f} s"
    pod = scene.observer.pod_of(again.owner)
    place = pod.name if pod else again.owner
    if pod is killed.pod:
        place = f"{place}, in the same pod's next container"
    demo.tell.say(
        f"TASK RUNNING AGAIN {running} after the kill: attempt {again.attempt} on {place}",
        at=started_at,
    )
    demo.figures += [
        ("SIGKILL -> task requeued", requeued, f"by {by}"),
        ("SIGKILL -> task running again", running, f"on {place}"),
    ]


async def who_requeued(observer: Observer, killed: Killed) -> str:
    """Return who requeued the task: the operator, if it says so in an event, else a worker."""

    def cause() -> str | None:
        for event in observer.events:
            message = event.what["message"]
            if event.what["reason"] == "TasksRequeued" and killed.pod.name in message:
                cause = message.partition(f"{killed.pod.name}: ")[2].removesuffix(")")
                return f"the operator ({cause})"
        return None

    try:
        return await observer.until(cause, 5, "the operator's event")
    except NotSeen:
        return "a worker (the operator does not claim it)"


async def read_all(demo: Demo, scene: Scene) -> None:
    """Wait until the producer has all its pages."""
    observer, total, told = scene.observer, len(scene.task_ids), 0
    demo.tell.chapter("All pages")
    while not observer.said("finished"):

        def ten_more(told: int = told) -> bool:
            return bool(observer.said("finished")) or len(observer.said("read")) >= told + 10

        await observer.until(ten_more, TEN_PAGES_TIMEOUT_SECONDS, "ten more pages")
        read = observer.said("read")
        told = len(read)
        mean = sum(page.what["accuracy"] for page in read) / max(1, told)
        demo.tell.say(f"{told} of {total} pages read, {mean:.2%} of their words right")
    judge_reading(demo, observer)


def judge_reading(demo: Demo, observer: Observer) -> None:
    """Report how well the pages were read, and whether that is good enough."""
    finished = observer.said("finished")[0]
    facts, read = finished.what, observer.said("read")
    pages = f"{facts['read']} of {facts['pages']}"
    right = f"mean {facts['accuracy_mean']:.2%}, worst page {facts['accuracy_min']:.2%}"
    demo.tell.say(f"ALL PAGES BACK: {pages}; words right: {right}", at=finished.at)
    if read:
        seconds = sorted(page.what["seconds"] for page in read)
        workers = {page.what["worker"] for page in read}
        demo.tell.say(
            f"read by {len(workers)} workers, {seconds[len(seconds) // 2]} s per page "
            f"({seconds[0]} to {seconds[-1]} s)"
        )
    for failed in observer.said("failed"):
        demo.tell.say(f"NOT READ: {failed.what['page']}: {failed.what['error']}", at=failed.at)
    demo.figures.append(("pages read", pages, f"words right: {right}"))
    if facts["read"] != facts["pages"] or facts["pages"] != demo.world.pages:
        demo.faults.append(f"{pages} pages were read")
    if facts["accuracy_mean"] < MEAN_ACCURACY or facts["accuracy_min"] < PAGE_ACCURACY:
        demo.faults.append(
            f"recognition is not good enough: wanted are {MEAN_ACCURACY:.0%} on average "
            f"and {PAGE_ACCURACY:.0%} on each page"
        )


async def scale_to_zero(demo: Demo, scene: Scene) -> None:
    """Wait until the operator wants no worker, and none is left."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("Back to zero")
    zero_at, _ = await observer.until(
        lambda: observer.replicas[-1] if observer.replicas[-1][1] == 0 else None,
        90,
        "replicas to be zero",
    )
    finished = await first(observer, "finished", 1)
    since = f"{zero_at - finished.at:.1f} s"
    tell.say(f"ZERO REPLICAS, {since} after the last page", at=zero_at)
    demo.figures.append(("last page -> zero replicas", since, ""))
    await demo.world.wait_until_workers_are_gone()
    tell.say("the last worker pod is gone")
    await demo.world.show_queue(demo.tell)


async def balance(demo: Demo, scene: Scene) -> None:
    """Read the ledger from Redis and check it."""
    demo.tell.chapter("The ledger, from Redis")
    books = await ledger.draw_up(
        scene.admin, scene.client, QUEUE, scene.task_ids, scene.counted_before
    )
    demo.tell.table(books.rows())
    demo.faults += [f"the ledger does not balance: {what}" for what in books.faults()]
    if not books.repeated:
        demo.faults.append("no page was run twice, though a worker was killed over one")
