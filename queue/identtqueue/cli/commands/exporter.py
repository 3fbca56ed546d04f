"""`identtqueue exporter`: metrics of queues for Prometheus, without Kubernetes."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any, Final

import click

from identtqueue import logs
from identtqueue.cli.session import run
from identtqueue.task import check_queue_name

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 30.0
"""How long a reading of all queues may take."""

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("queues", nargs=-1)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65_535),
    default=9_117,
    envvar="IDENTTQUEUE_EXPORTER_HTTP_PORT",
    show_envvar=True,
    help="Port to listen on.",
)
@click.option(
    "--host",
    default="",
    envvar="IDENTTQUEUE_EXPORTER_HOST",
    show_envvar=True,
    show_default=False,
    help="Address to listen on. Default: all, of IPv6 and IPv4.",
)
@click.option(
    "--bearer-token-file",
    type=_FILE,
    envvar="IDENTTQUEUE_EXPORTER_BEARER_TOKEN_FILE",
    show_envvar=True,
    help="File with the token that a caller must send to read the metrics.",
)
@click.option(
    "--basic-auth-file",
    type=_FILE,
    envvar="IDENTTQUEUE_EXPORTER_BASIC_AUTH_FILE",
    show_envvar=True,
    help="File with lines of the form user:password, one of which a caller must send.",
)
@click.option(
    "--tls-cert-file",
    type=_FILE,
    envvar="IDENTTQUEUE_EXPORTER_TLS_CERT_FILE",
    show_envvar=True,
    help="File with a TLS certificate. Then the port is HTTPS.",
)
@click.option(
    "--tls-key-file",
    type=_FILE,
    envvar="IDENTTQUEUE_EXPORTER_TLS_KEY_FILE",
    show_envvar=True,
    help="File with the private key of the certificate.",
)
def exporter(queues: tuple[str, ...], **options: Any) -> None:
    """Serve metrics of QUEUES, or of all queues, until SIGTERM.

    /metrics is for Prometheus, /healthz answers while the process does, and /readyz while Redis
    does.
    """
    context = click.get_current_context()
    if (options["tls_cert_file"] is None) != (options["tls_key_file"] is None):
        raise click.UsageError("give both of --tls-cert-file and --tls-key-file, or none")
    logs.set_up("WARNING", context.find_root().params["log_format"])
    logging.getLogger("identtqueue").setLevel(logging.INFO)
    run(_serve(context.find_root().obj, queues, **options))


async def _serve(
    address: str,
    queues: tuple[str, ...],
    *,
    http_port: int,
    host: str,
    bearer_token_file: Path | None,
    basic_auth_file: Path | None,
    tls_cert_file: Path | None,
    tls_key_file: Path | None,
) -> None:
    from identtqueue.exporter import numbers  # noqa: PLC0415 - the other commands don't need it
    from identtqueue.exporter.access import Access  # noqa: PLC0415
    from identtqueue.exporter.server import Certificate, Exporter  # noqa: PLC0415

    for queue in queues:
        check_queue_name(queue)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    from identtqueue.admin import Admin  # noqa: PLC0415 - as in `session.with_admin`

    async with Admin(address) as admin:
        log, reader = _Trouble(), numbers.NumbersReader(admin, queues)

        async def read() -> numbers.Snapshot:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    reading = await reader.read()
            except TimeoutError:
                reading = numbers.Snapshot(problem=f"not read within {READ_SECONDS:g} s")
            log.note(reading.problem)
            return reading

        server = Exporter(
            http_port,
            host=host,
            read=lambda: asyncio.run_coroutine_threadsafe(read(), loop).result(READ_SECONDS + 5),
            access=Access(bearer_token_file, basic_auth_file),
            certificate=(
                Certificate(tls_cert_file, tls_key_file) if tls_cert_file and tls_key_file else None
            ),
        )
        server.start()
        logger.info("exporter: port %d, queues %s", server.port, ", ".join(queues) or "all")
        try:
            await stopped.wait()
        finally:
            await asyncio.to_thread(server.close)


class _Trouble:
    """The log lines about Redis: one when it can't be read, one when it can be again."""

    def __init__(self) -> None:
        self._problem = ""

    def note(self, problem: str) -> None:
        if problem != self._problem:
            if problem:
                logger.warning("Redis can't be read: %s", problem)
            else:
                logger.info("Redis can be read again")
            self._problem = problem
