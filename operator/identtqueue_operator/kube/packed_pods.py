"""All pods of the served namespaces, in little memory.

On a shared cluster nearly all of them belong to others, and are kept only because a TaskQueue may
ask for them later. As objects, ten thousand take the garbage collector a tenth of a second each
time it looks at them all, and the event loop stands still meanwhile. As bytes they cost it nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from identtqueue_operator.model import Key, Pod

Labels = Mapping[str, str]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Pod, dict[Any, Any]])


class PackedPods:
    """Pods with their labels, by namespace and UID."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, tuple[str, bytes]]] = defaultdict(dict)

    def put(self, pod: Pod, labels: Labels) -> bool:
        """Keep a pod in place of what was known of it. Returns whether it has changed.

        Raises:
            msgspec.ValidationError: a field is not of its type.
        """
        data = _encoder.encode((pod, labels))
        known = self._by_namespace[pod.key.namespace]
        if pod.uid in known and known[pod.uid][1] == data:
            return False
        _decoder.decode(data)  # so that later reads can't fail
        known[pod.uid] = (pod.key.name, data)
        return True

    def pop(self, pod: Pod) -> None:
        """Forget a pod."""
        known = self._by_namespace[pod.key.namespace]
        known.pop(pod.uid, None)
        if not known:
            del self._by_namespace[pod.key.namespace]

    def of(self, namespace: str) -> Iterator[tuple[Pod, Labels]]:
        """Iterate over the pods of a namespace."""
        for _, data in self._by_namespace.get(namespace, {}).values():
            yield _decoder.decode(data)

    def called(self, key: Key) -> list[tuple[Pod, Labels]]:
        """Find the pods of this name: more than one if it was made anew."""
        known = self._by_namespace.get(key.namespace, {}).values()
        return [_decoder.decode(data) for name, data in known if name == key.name]

    def keys(self, namespace: str | None) -> dict[str, Key]:
        """Return the names by UID, in one namespace or in all."""
        return {
            uid: Key(space, name)
            for space, known in self._by_namespace.items()
            if namespace in (None, space)
            for uid, (name, _) in known.items()
        }
