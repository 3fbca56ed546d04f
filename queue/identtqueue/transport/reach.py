"""A rule for the addresses that may be connected to, as a guard against request forgery (SSRF).

A client of your own Redis needs no rule. The operator, however, connects to any address that a user
writes into a TaskQueue, and it may reach parts of the network that this user can't. The rule is
applied to the addresses that a name resolves to, at each connection, so that a name can't get
around it by resolving to another address later. Addresses that a Sentinel or a node of a cluster
announces are checked as well.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from identtqueue.errors import InvalidInput, RedisAddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


LOOPBACK: Final = _networks("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")
"""Addresses of this host. The kernel connects to it for the unspecified address, too."""
PRIVILEGED: Final = _networks(
    *("169.254.0.0/16", "fe80::/10"),  # link-local, where most clouds have their metadata service
    *("fd00:ec2::/32", "fd20:ce::254/128"),  # AWS and Google over IPv6
    *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # Alibaba, Azure, Oracle
)
"""Metadata services, which give credentials to any caller, and neighbours on the same link."""
NEVER: Final = _networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")
_NAT64: Final = _networks("64:ff9b::/96", "64:ff9b:1::/48")
_COMPATIBLE: Final = _networks("::/96")
_NAME: Final = r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?"


class Reach:
    """A rule for addresses.

    Special addresses (this host, link-local ones, metadata services) need an entry in `allow` that
    is a network of only such addresses. A name does not suffice, nor does `0.0.0.0/0`.

    Args:
        allow: networks (`10.0.0.0/8`), addresses, names (`redis.example.com`) and names with
            wildcards (`*.example.com`). Empty: all addresses except the special ones.
        loopback: whether this host may be connected to without an entry in `allow`.

    Raises:
        InvalidInput: an entry is none of these.
    """

    def __init__(self, allow: Iterable[str] = (), *, loopback: bool = False) -> None:
        self._networks: list[Network] = []
        self._names: list[str] = []
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                name = entry.lower().rstrip(".")
                if not re.fullmatch(_NAME, name) or re.fullmatch("[0-9.]+", name):
                    raise InvalidInput(
                        f"{entry!r} is not a network (10.0.0.0/8, without host bits), an address, "
                        "or a name (redis.example.com, *.example.com)"
                    ) from None
                self._names.append(name)
        self._everything = not (self._networks or self._names)
        self._loopback = loopback

    def permitted(self, host: str, addresses: Sequence[str]) -> list[str]:
        """Filter the addresses of a host.

        Args:
            host: the host as it is written in the settings, or as it was announced.
            addresses: the addresses that it resolves to.

        Returns:
            Those that may be connected to.

        Raises:
            RedisAddressRefused: none of them may be connected to.
        """
        named = self._everything or self._knows(host)
        found = [address for address in addresses if self._may(address, named=named)]
        if not found:
            raise RedisAddressRefused(host)
        return found

    def _knows(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(
            name.endswith(known[1:]) if known.startswith("*.") else name == known
            for known in self._names
        )

    def _may(self, text: str, *, named: bool) -> bool:
        try:
            forms = _forms(ipaddress.ip_address(text))
        except ValueError:
            return False
        if any(_within(form, NEVER) for form in forms):
            return False
        for special, free in ((LOOPBACK, self._loopback), (PRIVILEGED, False)):
            if any(_within(form, special) for form in forms):
                return free or self._says_so(forms, special)
        return named or any(_within(form, self._networks) for form in forms)

    def _says_so(self, forms: Sequence[Address], special: Sequence[Network]) -> bool:
        """Return whether an entry within the special networks allows one of these forms."""
        return any(
            _within(form, [network])
            for network in self._networks
            if any(_is_part(network, whole) for whole in special)
            for form in forms
        )


def _forms(address: Address) -> list[Address]:
    """List an address and the IPv4 addresses embedded in it, at which a packet may end up."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    hidden: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    hidden += address.teredo or ()
    if _within(address, _NAT64) or (_within(address, _COMPATIBLE) and int(address) > 1):
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [address, *(form for form in hidden if form is not None)]


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_part(network: Network, whole: Network) -> bool:
    return network.version == whole.version and network.subnet_of(whole)  # type: ignore[arg-type]
