"""kubectl and helm as subprocesses: what a user would type, with a time limit on every wait."""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# A watch event is one line, which may be longer than asyncio's 64 KiB.
LINE_LIMIT = 4 * 1024 * 1024


class CommandFailed(Exception):
    """The error of a command that failed or did not end in time."""


async def run(*command: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
    """Run a command and return its standard output.

    Raises:
        CommandFailed: the command failed, or did not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError:
        raise CommandFailed(f"{' '.join(command)}: no end in {timeout_seconds:.0f} s") from None
    finally:
        await _end(process)
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: {err.decode(errors='replace').strip()}")
    return out.decode(errors="replace")


async def run_openly(*command: str, timeout_seconds: float) -> None:
    """Run a long command and let it print its progress.

    Raises:
        CommandFailed: the command failed, or did not end in time.
    """
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(timeout_seconds):
            code = await process.wait()
    except TimeoutError:
        raise CommandFailed(f"{' '.join(command)}: no end in {timeout_seconds:.0f} s") from None
    finally:
        await _end(process)
    if code:
        raise CommandFailed(f"{' '.join(command)}: exit code {code}")


async def lines_of(*command: str) -> AsyncIterator[str]:
    """Iterate over the lines that a command prints, until it ends."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LINE_LIMIT,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield line.decode(errors="replace").rstrip("\n")
        await process.wait()  # killing it now would confuse asyncio's child watcher
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process if it still runs, so that none is left behind after an error."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Namespace:
    """One namespace of the cluster that KUBECONFIG names."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def kubectl(self, *arguments: str, timeout_seconds: float = 60) -> str:
        """Run `kubectl --namespace … ARGUMENTS` and return its output."""
        return await run(
            "kubectl", "--namespace", self.name, *arguments, timeout_seconds=timeout_seconds
        )

    async def create(self, *, pod_security: str) -> None:
        """Create the namespace; delete one of that name first."""
        await self.delete(timeout_seconds=120)
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.name,
                "labels": {"pod-security.kubernetes.io/enforce": pod_security},
            },
        }
        await run("kubectl", "apply", "-f", "-", stdin=json.dumps(manifest))

    async def delete(self, *, timeout_seconds: float) -> None:
        """Delete the namespace with all its objects, and wait until it is gone."""
        await run(
            *("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--wait"),
            f"--timeout={timeout_seconds:.0f}s",
            timeout_seconds=timeout_seconds + 5,
        )

    async def apply(self, path: Path) -> None:
        """Apply one file."""
        await self.kubectl("apply", "-f", str(path))

    async def get(self, kind: str, name: str) -> Json:
        """Read one object."""
        found: Json = json.loads(await self.kubectl("get", kind, name, "-o", "json"))
        return found

    async def secret(self, name: str, key: str) -> str:
        """Read one value of a Secret."""
        return base64.b64decode((await self.get("secret", name))["data"][key]).decode()

    async def watch(self, api: str, resource: str) -> AsyncIterator[Json]:
        """Iterate over all objects, then over each change, without an end.

        When the API server closes the watch, it is opened again and yields all objects again.
        """
        path = f"/{api}/namespaces/{self.name}/{resource}?watch=1&timeoutSeconds=600"
        while True:
            async for line in lines_of("kubectl", "get", "--raw", path):
                with contextlib.suppress(json.JSONDecodeError):  # cut off with its connection
                    yield json.loads(line)
            await asyncio.sleep(0.5)  # do not ask the API server again at once

    @contextlib.asynccontextmanager
    async def port_forward(self, service: str, port: int) -> AsyncIterator[int]:
        """Open a local port that leads to the service. If the tunnel breaks, it is opened again.

        Raises:
            CommandFailed: it did not open in time.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local_port: int = probe.getsockname()[1]
        open_now = asyncio.Event()

        async def keep_open() -> None:
            while True:
                async for line in lines_of(
                    *("kubectl", "--namespace", self.name, "port-forward", f"service/{service}"),
                    f"{local_port}:{port}",
                ):
                    if line.startswith("Forwarding"):
                        open_now.set()
                await asyncio.sleep(0.5)  # as above

        tunnel = asyncio.create_task(keep_open())
        try:
            try:
                async with asyncio.timeout(30):
                    await open_now.wait()
            except TimeoutError:
                raise CommandFailed(f"no tunnel to service {service} in 30 s") from None
            yield local_port
        finally:
            tunnel.cancel()
            await asyncio.gather(tunnel, return_exceptions=True)
