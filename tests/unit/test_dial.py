"""Settings of redis-py's connections, whatever its version does by default."""

from __future__ import annotations

from typing import Any

import pytest

from identtqueue.transport.dial import with_host_check


@pytest.mark.parametrize(
    ("given", "is_checked"),
    [
        ({}, True),
        ({"ssl_ca_certs": "ca.pem"}, True),
        ({"ssl_check_hostname": False}, False),
        ({"ssl_cert_reqs": "none"}, False),  # Python refuses a check of a name that nobody proves
    ],
)
def test_the_host_name_is_checked(given: dict[str, Any], is_checked: bool) -> None:
    assert with_host_check(given) == {**given, "ssl_check_hostname": is_checked}
