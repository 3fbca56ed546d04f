"""A namespace of the cluster, by kubectl."""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from narrator.commands import lines_of, run
from narrator.world import CommandFailed, Json


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
