"""The lines of the screen, drawn from a snapshot and the view. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from identtqueue.cli.display.text import one_line
from identtqueue.cli.top import short
from identtqueue.cli.top.columns import cut
from identtqueue.cli.top.snapshot import QueueLine, TopSnapshot
from identtqueue.cli.top.tables import job_lines, queue_lines, task_lines, worker_lines
from identtqueue.cli.top.view import KeyMode, TopView

HELP: Final = (
    ("arrows, page up/down", "choose a queue; scroll in a queue that is open"),
    ("enter", "open the queue: its jobs, and each task that runs"),
    ("escape", "back to all queues; there, forget the filter"),
    ("s, S", "sort by the next column, or by the one before"),
    ("R", "turn the order round"),
    ("/", "show only queues whose names contain what you type"),
    ("p", "pause or resume the queue; you are asked first"),
    ("+, -", "refresh less often, or more often"),
    ("space", "refresh now"),
    ("q", "quit"),
)

COLUMNS: Final = (
    ("PEND HELD RUN SCHD DEAD", "tasks: waiting, held by a limit, running, not due, dead"),
    ("OLD", "how long the oldest task that may start has waited"),
    ("IN/M OK/M ERR", "enqueued, succeeded, failed for good, per minute"),
    ("W50 W95 R50 R95", "waits and runs: half of the tasks, 95 % took less"),
)

LEAST_COLUMNS: Final = 40
LEAST_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn.

    Attributes:
        view: what the user has chosen.
        snapshot: what was read last; None: nothing yet.
        address: where Redis is, without credentials.
        trouble: why nothing newer could be read; empty if all is well.
    """

    view: TopView
    snapshot: TopSnapshot | None
    address: str
    trouble: str = ""


def draw(scene: Scene, columns: int, rows: int) -> list[Text]:
    """Return the lines of the screen.

    Args:
        scene: what to draw.
        columns: width of the terminal.
        rows: height of the terminal.
    """
    if columns < LEAST_COLUMNS or rows < LEAST_ROWS:
        return [Text(cut("this window is too small", columns, left=True))]
    head = [_title(scene, columns), _totals(scene, columns), _message(scene, columns)]
    room = rows - len(head) - 1
    snapshot, view = scene.snapshot, scene.view
    if view.mode is KeyMode.READING:
        middle = _help(columns)
    elif snapshot is None:
        middle = []
    elif view.opened is None:
        middle = _overview(view, snapshot, columns, room)
    else:
        middle = _queue(view, snapshot, columns, room)
    middle = [*middle[:room], *[Text()] * (room - len(middle))]
    return [*head, *middle, _foot(scene, columns)]


def _title(scene: Scene, columns: int) -> Text:
    left = f" identtqueue top  {scene.address}"
    right = ""
    if snapshot := scene.snapshot:
        left += f"  {snapshot.server}"
        if snapshot.used_bytes:
            left += f"  memory {short.size(snapshot.used_bytes)}"
        right = f"{datetime.fromtimestamp(snapshot.now_ms / 1000, UTC):%H:%M:%S} UTC "
    return Text(cut(left, columns - len(right), left=True) + right, "bar")


def _totals(scene: Scene, columns: int) -> Text:
    snapshot, view = scene.snapshot, scene.view
    if snapshot is None:
        return Text("" if scene.trouble else " reading …")
    if view.opened is not None:
        line = view.queue(snapshot)
        text = f" queue {view.opened}: " + (_depth_of(line) if line else "it is gone")
        return Text(cut(text, columns, left=True), "name")
    lines = view.lines(snapshot)
    words = [_many(len(lines), "queue"), _many(len(view.workers(snapshot)), "worker")]
    if view.filter:
        words[0] = f"{len(lines):,} of {_many(len(snapshot.queues), 'queue')}"
    for name, value in (
        ("pending", sum(line.depth.queued for line in lines)),
        ("running", sum(line.depth.in_flight for line in lines)),
        ("dead", sum(line.depth.dead for line in lines)),
    ):
        words.append(f"{name} {short.number(value)}")
    enqueued, succeeded, failed = (
        short.number(round(sum(getattr(line, name) or 0 for line in lines)))
        for name in ("enqueued", "succeeded", "failed")
    )
    words.append(f"/min: in {enqueued} ok {succeeded} err {failed}")
    if snapshot.left_out:
        words.append(f"{snapshot.left_out:,} more are not shown: name queues")
    return Text(cut(" " + "  ".join(words), columns, left=True))


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _depth_of(line: QueueLine) -> str:
    depth = line.depth
    words = ["paused"] if depth.paused else []
    numbers = {
        "pending": depth.queued,
        "held": depth.held,
        "running": depth.in_flight,
        "scheduled": depth.scheduled,
        "dead": depth.dead,
    }
    words += [f"{name} {short.number(value)}" for name, value in numbers.items()]
    if depth.oldest_wait_ms is not None:
        words.append(f"oldest waits {short.duration(depth.oldest_wait_ms)}")
    if depth.next_due_in_ms is not None:
        words.append(f"next due in {short.duration(depth.next_due_in_ms)}")
    return "  ".join(words)


def _message(scene: Scene, columns: int) -> Text:
    if scene.trouble:
        return Text(cut(f" {scene.trouble}", columns, left=True), "bad")
    return Text(cut(f" {scene.view.said}", columns, left=True), "warn")


def _overview(view: TopView, snapshot: TopSnapshot, columns: int, room: int) -> list[Text]:
    lines = view.lines(snapshot)
    if not lines:
        why = "no queue has such a name" if view.filter else "no queue is known yet"
        return [Text(f" {why}", "quiet")]
    workers = worker_lines(view.workers(snapshot), columns, snapshot.now_ms)
    # The queues get what the workers leave, but at least half.
    wanted = len(workers) + 1 if len(workers) > 1 else 0
    most = max(room - wanted, room // 2)
    head, *body = queue_lines(lines, view, view.place(snapshot), columns)
    first = _first(view.place(snapshot), len(body), most - 1)
    shown = [head, *body[first : first + most - 1]]
    return [*shown, Text(), *workers] if wanted else shown


def _first(place: int, number: int, room: int) -> int:
    """Return which line is the uppermost, so that the chosen one is in view, near the middle."""
    return max(0, min(place - room // 2, number - room))


def _queue(view: TopView, snapshot: TopSnapshot, columns: int, room: int) -> list[Text]:
    assert view.opened is not None
    jobs = job_lines(snapshot.jobs.get(view.opened, ()), columns)
    workers = view.workers(snapshot)
    parts = [*jobs, Text(), *task_lines(workers, view.opened, columns, snapshot.now_ms)]
    view.scrolled = min(view.scrolled, max(0, len(parts) - room))
    return parts[view.scrolled :]


def _help(columns: int) -> list[Text]:
    wide = 30 if columns >= 100 else 24
    lines = []
    for words, meaning in (*HELP, ("", ""), *COLUMNS):
        line = Text(f"  {words:<{wide}}", "name")
        line.append(meaning)
        lines.append(line)
    return [*lines, Text(), Text("  any key: back", "quiet")]


def _foot(scene: Scene, columns: int) -> Text:
    view, snapshot = scene.view, scene.snapshot
    if view.mode is KeyMode.TYPING:
        text = f" filter: {one_line(view.filter)}_   enter: keep it, escape: show all"
        return Text(cut(text, columns, left=True), "warn")
    if view.mode is KeyMode.ASKED and snapshot and (line := view.queue(snapshot)):
        ask = f" Resume {line.name}?" if line.depth.paused else f" Pause {line.name}?"
        if not line.depth.paused:
            ask += " No task starts until it is resumed."
        return Text(cut(f"{ask} y: yes, any other key: no", columns, left=True), "warn")
    words = ["q quit", "? help"]
    if view.opened is not None:
        words += ["escape back", "p pause", f"+- {view.interval_seconds:g} s"]
    else:
        words.append(f"s sort: {view.sort}{', turned' * view.is_reversed}")
        words.append(f"/ filter: {one_line(view.filter)}" if view.filter else "/ filter")
        words += [f"+- {view.interval_seconds:g} s", "enter open", "p pause"]
    return Text(cut(" " + "  ".join(words), columns, left=True), "bar")
