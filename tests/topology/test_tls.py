"""TLS with a private authority and client certificates, and every way to configure it wrongly."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from identtqueue import Client, SyncClient, Worker
from identtqueue.errors import RedisError, RedisTlsFailed, RedisUnavailable
from identtqueue.protocol.calls import inspecting
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from testing.proxy import Proxy
from testing.redis_server import RedisServer, free_port
from testing.serving import serving
from testing.tls import Certificates
from testing.waiting import eventually
from topology.conftest import first_error


class TlsServer(RedisServer):
    """Server with a TLS port under test, and a plain port for looking from outside."""

    def __init__(self, certificates: Certificates, pair: tuple[str, str] | None = None) -> None:
        self.tls_port = free_port()
        super().__init__(options=certificates.server_options(self.tls_port, pair))
        self.tls_address = f"rediss://127.0.0.1:{self.tls_port}"


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[TlsServer]:
    with TlsServer(certificates).running() as server:
        yield server


def settings_for(server: TlsServer, certificates: Certificates, **changes: object) -> RedisSettings:
    right = {
        "address": server.tls_address,
        "tls_ca_file": certificates.ca,
        "tls_cert_file": certificates.client[0],
        "tls_key_file": certificates.client[1],
    }
    return RedisSettings(**right | changes)


async def test_client_worker_and_blocking_client(
    server: TlsServer, certificates: Certificates, queue: str
) -> None:
    settings = settings_for(server, certificates)

    async def double(_ctx: object, number: int) -> int:
        return 2 * number

    worker = Worker({"double": double}, settings, queue)
    async with serving(worker), Client(settings) as client:
        task_id = await client.enqueue_job(queue, "double", 21)
        assert await client.wait_for_result(task_id, 30) == 42
        with SyncClient(settings) as blocking:
            assert blocking.get_result(task_id) == 42
    names = {row["name"] for row in server.client().client_list()}
    assert names <= {""}, "nobody is left, and nobody came by the plain port"


WRONG = {
    "wrong authority": (
        lambda c: {"tls_ca_file": c.other_ca},
        "check tls_ca_file, the host name in the address and the certificate's dates",
    ),
    "no authority": (
        lambda _: {"tls_ca_file": None},
        "check tls_ca_file, the host name in the address and the certificate's dates",
    ),
    "no client certificate": (
        lambda _: {"tls_cert_file": None, "tls_key_file": None},
        "The server wants a client certificate: give tls_cert_file and tls_key_file",
    ),
    "expired client certificate": (
        lambda c: {"tls_cert_file": c.expired_client[0], "tls_key_file": c.expired_client[1]},
        "The server refuses our client certificate: it has expired",
    ),
    "client certificate of a stranger": (
        lambda c: {"tls_cert_file": c.foreign_client[0], "tls_key_file": c.foreign_client[1]},
        "The server refuses our client certificate",
    ),
    "somebody else's key": (
        lambda c: {"tls_key_file": c.expired_client[1]},
        "tls_key_file is not the key of tls_cert_file",
    ),
    "a missing file": (lambda _: {"tls_ca_file": "/no/such/ca.crt"}, "missing or not readable"),
    "a file that holds no certificate": (lambda _: {"tls_ca_file": __file__}, "TLS files"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_can_be_wrong(
    server: TlsServer, certificates: Certificates, how: str, name: str
) -> None:
    change, hint = WRONG[name]
    error = await first_error(settings_for(server, certificates, **change(certificates)), how)
    assert type(error) is RedisTlsFailed, error
    assert hint in str(error)


@pytest.mark.parametrize("pair", ["expired_server", "elsewhere_server"])
async def test_a_server_that_can_not_prove_who_it_is(
    certificates: Certificates, how: str, pair: str
) -> None:
    server = TlsServer(certificates, getattr(certificates, pair))
    server.start()
    try:
        error = await first_error(settings_for(server, certificates), how)
    finally:
        server.destroy()
    assert type(error) is RedisTlsFailed
    assert "check tls_ca_file, the host name in the address and the certificate's dates" in str(
        error
    )


async def test_tls_where_none_is_spoken(
    server: TlsServer, certificates: Certificates, how: str
) -> None:
    plain_port = settings_for(server, certificates, address=f"rediss://127.0.0.1:{server.port}")
    error = await first_error(plain_port, how)
    assert type(error) is RedisTlsFailed, error
    assert "The server does not speak TLS on this port" in str(error)


async def test_no_tls_where_it_is_needed(server: TlsServer, how: str) -> None:
    error = await first_error(RedisSettings(address=f"redis://127.0.0.1:{server.tls_port}"), how)
    assert type(error) is RedisUnavailable


async def test_renewed_certificates_are_read_at_the_next_connection(
    server: TlsServer,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """The files at the same path get new content, as in a mounted Secret."""
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def install(pair: tuple[str, str]) -> None:
        for source, target in zip(pair, (cert, key), strict=True):
            target.write_bytes(Path(source).read_bytes())

    install(certificates.client)
    async with Proxy(server.tls_port) as proxy:
        settings = settings_for(
            server,
            certificates,
            address=proxy.address.replace("redis:", "rediss:"),
            tls_cert_file=str(cert),
            tls_key_file=str(key),
        )
        redis = async_redis(settings, client_name="renewal", retry_for_seconds=30)
        await redis.run(inspecting.depth("q"))
        install(certificates.expired_client)
        accepted = proxy.accepted
        proxy.cut()
        call = asyncio.create_task(redis.run(inspecting.depth("q")))
        await eventually(lambda: proxy.accepted >= accepted + 2, "it was refused and tries again")
        install(certificates.client)
        assert (await call).queued == 0
        await redis.close()


async def test_a_wrong_certificate_at_the_start_is_no_outage(
    server: TlsServer, certificates: Certificates, queue: str
) -> None:
    """A worker waits for an unreachable Redis, but raises at once if waiting would not help."""
    settings = settings_for(server, certificates, tls_ca_file=certificates.other_ca)
    with pytest.raises(RedisError, match="check tls_ca_file"):
        await Worker({"job": print}, settings, queue).serve()


def test_a_program_that_ends_leaves_no_socket_open(
    server: TlsServer, certificates: Certificates
) -> None:
    """The close of TLS is not waited for, so the connection must not be left half closed."""
    settings = settings_for(server, certificates)

    async def program() -> None:
        async with Client(settings) as client:
            await client.queue_length("q")
            server.pause()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            asyncio.run(program())
        finally:
            server.resume()
        gc.collect()
    assert [w for w in caught if issubclass(w.category, ResourceWarning)] == []
