"""The Redis of TaskQueues that is not reached by host and port: a socket file, or an embedded one.

The TaskQueue's own rules know hosts and ports only, because in a cluster a socket file would be one
of the operator's pod. So such an address becomes a name, and the name becomes the address again
where somebody connects: the operator, and the environment of workers.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from identtqueue_operator.local.objects import Json

EMBEDDED = "embedded"
"""The address of the embedded server in its usual folder, and the default."""
SCHEMES = ("embedded://", "unix://")


class Addresses(Mapping[str, str]):
    """The addresses behind names, by the name's URL: `redis://embedded`.

    Names are only added, because a TaskQueue that has changed may still have workers.
    """

    def __init__(self) -> None:
        self._by_url: dict[str, str] = {}

    def __getitem__(self, url: str) -> str:
        """Return the address behind a name."""
        return self._by_url[url]

    def __iter__(self) -> Iterator[str]:
        """List the URLs of the names."""
        return iter(self._by_url)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._by_url)

    def put(self, address: str) -> str:
        """Return the name for an address; one with host and port is its own name."""
        if address != EMBEDDED and not address.startswith(SCHEMES):
            return address
        name = EMBEDDED
        if address != EMBEDDED:
            name = f"local-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self._by_url[f"redis://{name}"] = address
        return name

    def name_in(self, spec: Json) -> None:
        """Replace the addresses in a TaskQueue's specification by their names.

        Without `redis`, and without an address in it, it is the embedded one.
        """
        redis = spec.get("redis") or {}
        if isinstance(redis, dict):
            if not any(redis.get(name) for name in ("address", "sentinel", "cluster")):
                redis = {**redis, "address": EMBEDDED}
            spec["redis"] = self._named(redis)
        for trigger in spec.get("triggers") or ():
            if isinstance(trigger, dict) and isinstance(trigger.get("redis"), dict):
                trigger["redis"] = self._named(trigger["redis"])

    def _named(self, redis: Json) -> Json:
        address = redis.get("address")
        return {**redis, "address": self.put(address)} if isinstance(address, str) else redis

    def shown(self, value: Any) -> Any:
        """Put the addresses back, for people."""
        if isinstance(value, dict):
            return {name: self.shown(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.shown(each) for each in value]
        if isinstance(value, str):
            return self._by_url.get(value, self._by_url.get(f"redis://{value}", value))
        return value
