"""The process that runs one embedded server, and ends it when the last process that uses it ends.

It is run as a script, without this package on its path: `python -I -S keeper.py FOLDER PROGRAM
LOCK OPTION…`. LOCK is an open file, locked by the process that starts the server. The keeper and
the server inherit it, so it stays locked for as long as one of them lives, and no second server can
be started on the same data.

Each process that uses the server holds a shared lock on `users.lock`. The keeper waits for the
exclusive one. The kernel removes the lock of a process that ends, however it ends, so the keeper
gets it after the last of them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import threading
import time

USERS = "users.lock"
SOCKET = "valkey.sock"
SHUTDOWN_SECONDS = 10.0
"""How long the server may take to write the rest of its data. Then it is killed."""

_PR_SET_PDEATHSIG = 1
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Run the server until it ends by itself, or its last user has ended."""
    folder, program, lock, *options = sys.argv[1:]
    if os.fork():
        os._exit(0)  # the caller waits for this process; for the keeper, nobody has to
    # When a service or the machine stops, all its processes get SIGTERM at once. The users need
    # the server until they have ended. So the keeper and the server, which inherits this, wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    os.chdir(folder)
    os.umask(0o077)
    os.set_inheritable(int(lock), True)
    server = _start([program, *options])
    threading.Thread(target=_end_after_last_user, args=(server,), daemon=True).start()
    os.waitpid(server, 0)
    os._exit(0)


def _start(command: list[str]) -> int:
    """Start the server and return its process id."""
    keeper = os.getpid()
    server = os.fork()
    if server:
        return server
    try:
        _die_with(keeper)
        os.execv(command[0], command)  # noqa: S606 - a shell has no business here
    except BaseException as error:  # noqa: BLE001 - it is read in the log
        os.write(2, f"{command[0]} can't be run: {error}\n".encode())
    os._exit(1)


def _die_with(keeper: int) -> None:
    """Let the kernel kill this process when the keeper has died. Only Linux can."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - other systems don't need it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(1)


def _end_after_last_user(server: int) -> None:
    """Wait until no process uses the server, and end it."""
    users = os.open(USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(users, fcntl.LOCK_EX)
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(SHUTDOWN_SECONDS)
            link.connect(SOCKET)
            link.sendall(b"SHUTDOWN NOSAVE NOW FORCE\r\n")
            link.recv(1)  # nothing comes: the connection is closed at the end
    except OSError:
        pass  # it hangs, or was never up
    else:
        time.sleep(SHUTDOWN_SECONDS)  # `main` ends this process when the server has ended
    os.kill(server, signal.SIGKILL)


if __name__ == "__main__":
    main()
