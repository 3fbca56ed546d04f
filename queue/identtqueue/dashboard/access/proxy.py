"""Logins that a proxy in front of the dashboard has checked, such as oauth2-proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.requests import HTTPConnection

from identtqueue.dashboard.access.user import NotAllowed, User, UserRole
from identtqueue.errors import InvalidInput


class ProxyAuth:
    """Access for the users that a trusted proxy names in a header.

    The header counts only in connections from the proxy's addresses, because anybody can send one.
    The proxy must remove the header from what browsers send.

    Args:
        proxies: addresses and networks of the proxy: `10.0.3.7`, `10.0.0.0/8`.
        header: name of the header with the user's name.
        groups_header: name of the header with the user's groups, separated by commas; None: there
            is none.
        operators: names of users who may act; the others may look.
        operator_groups: groups whose members may act.

    Raises:
        InvalidInput: no proxy is named, or one is no address or network.
    """

    def __init__(
        self,
        proxies: Iterable[str],
        *,
        header: str = "X-Forwarded-User",
        groups_header: str | None = "X-Forwarded-Groups",
        operators: Iterable[str] = (),
        operator_groups: Iterable[str] = (),
    ) -> None:
        try:
            self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]
        except ValueError as error:
            raise InvalidInput(f"proxies: {error}") from None
        if not self._proxies:
            raise InvalidInput(
                "proxies: name the addresses of the proxy; its header counts only from there"
            )
        self._header = header
        self._groups_header = groups_header
        self._operators = frozenset(operators)
        self._operator_groups = frozenset(operator_groups)

    async def identify(self, request: HTTPConnection) -> User:
        """Return the user whom the proxy names.

        Raises:
            NotAllowed: the request does not come from the proxy, or it names nobody, or two users.
        """
        if not self._is_proxy(request.client.host if request.client else ""):
            raise NotAllowed("This dashboard is open only through its proxy.")
        names = request.headers.getlist(self._header)
        if len(names) != 1 or not names[0].strip():
            raise NotAllowed(f"The proxy names no user in {self._header}.", 401)
        name = names[0].strip()
        is_operator = name in self._operators or self._operator_groups & self._groups(request)
        return User(name, UserRole.OPERATOR if is_operator else UserRole.VIEWER)

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # such as the peer of a Unix socket
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._proxies)

    def _groups(self, request: HTTPConnection) -> set[str]:
        if self._groups_header is None:
            return set()
        listed = ",".join(request.headers.getlist(self._groups_header))
        return {group.strip() for group in listed.split(",") if group.strip()}
