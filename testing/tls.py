"""Certificates for one test session: of an authority, a server, and good and bad clients."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme


@cache
def some_authority() -> str:
    """Make the certificate of an authority that has signed nothing, as PEM.

    For HTTP clients that use no TLS in a test. Each makes a context all the same, and to read the
    authorities of the system takes 40 ms.
    """
    return trustme.CA().cert_pem.bytes().decode()


@cache
def unused_context() -> ssl.SSLContext:
    """Make a context that trusts this authority only."""
    return ssl.create_default_context(cadata=some_authority())


class Certificates:
    """Certificates and keys as PEM files in a folder.

    Args:
        folder: where they are written.
        server_hosts: names and addresses of the server.

    Attributes:
        ca: certificate of the authority that has signed those of the server and the client.
        other_ca: certificate of an unrelated authority.
    """

    def __init__(
        self, folder: Path, *, server_hosts: Sequence[str] = ("127.0.0.1", "localhost")
    ) -> None:
        self._folder = folder
        self._authority = trustme.CA(organization_name="idenTTqueue tests")
        self._other = trustme.CA(organization_name="somebody else")
        self.ca = self._write("ca.crt", self._authority.cert_pem)
        self.other_ca = self._write("other-ca.crt", self._other.cert_pem)
        self.server = self._issue("server", self._authority, *server_hosts)
        self.client = self._issue("client", self._authority, "client.invalid")
        self.foreign_client = self._issue("foreign-client", self._other, "client.invalid")
        self.expired_client = self._issue(
            "expired-client",
            self._authority,
            "client.invalid",
            not_after=datetime.now(UTC) - timedelta(days=1),
        )
        self.elsewhere_server = self._issue("elsewhere", self._authority, "elsewhere.invalid")
        self.expired_server = self._issue(
            "expired-server",
            self._authority,
            "127.0.0.1",
            not_after=datetime.now(UTC) - timedelta(days=1),
        )

    def server_options(self, port: int, pair: tuple[str, str] | None = None) -> tuple[str, ...]:
        """Return options for a redis-server with a TLS port that requires a client certificate."""
        cert, key = pair or self.server
        return (
            *("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key),
            *("--tls-ca-cert-file", self.ca, "--tls-auth-clients", "yes"),
        )

    def _issue(
        self, name: str, authority: trustme.CA, *hosts: str, not_after: datetime | None = None
    ) -> tuple[str, str]:
        begin = datetime.now(UTC) - timedelta(days=30) if not_after else None
        leaf = authority.issue_cert(*hosts, not_before=begin, not_after=not_after)
        certificate = self._write(f"{name}.crt", *leaf.cert_chain_pems)
        return certificate, self._write(f"{name}.key", leaf.private_key_pem)

    def _write(self, name: str, *blobs: trustme.Blob) -> str:
        path = self._folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)
