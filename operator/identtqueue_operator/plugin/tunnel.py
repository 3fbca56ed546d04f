"""The way to the operator's pod: `kubectl port-forward`, which asks for the user's rights."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import IO, Final

from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue_operator.plugin.kubectl import Kubectl

OPEN_SECONDS: Final = 20.0
"""Time for kubectl to begin to forward."""
CLOSE_SECONDS: Final = 5.0

_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")


@contextmanager
def tunnel(kubectl: Kubectl, namespace: str, pod: str, port: int) -> Iterator[int]:
    """Provide a port of this machine's loopback address that leads to a port of a pod.

    Raises:
        CommandFailed: kubectl can't forward; the message is its own.
    """
    words = ("port-forward", f"pod/{pod}", f":{port}", "--address", "127.0.0.1")
    process = subprocess.Popen(  # noqa: S603 - the user's own kubectl
        kubectl.command(*words, namespace=namespace),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: Queue[str] = Queue()
    said: list[str] = []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines.put), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, said.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        yield _port(lines, process, said, readers[1])
    finally:
        process.terminate()
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()


def _read(stream: IO[str], take: Callable[[str], object]) -> None:
    """Pass on the lines of a stream, so that its writer never waits; then an empty one."""
    for line in stream:
        take(line)
    take("")


def _port(
    lines: Queue[str], process: subprocess.Popen[str], said: list[str], errors: threading.Thread
) -> int:
    try:
        line = lines.get(timeout=OPEN_SECONDS)
    except Empty:
        text = f"kubectl port-forward has not begun within {OPEN_SECONDS:.0f} s"
        raise CommandFailed(text, Exit.UNAVAILABLE) from None
    found = _FORWARDING.match(line)
    if found:
        return int(found[1])
    process.wait(CLOSE_SECONDS)
    errors.join(CLOSE_SECONDS)
    why = "".join(said).strip() or line.strip() or "it ended"
    raise CommandFailed(f"kubectl port-forward to the operator's pod failed: {why}", Exit.REFUSED)
