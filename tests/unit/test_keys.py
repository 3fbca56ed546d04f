"""Names of keys and channels."""

from __future__ import annotations

import pytest

from identtqueue.protocol import keys


def test_every_key_of_a_queue_is_in_its_slot() -> None:
    k = keys.queue_keys("mrz")
    names = [getattr(k, name) for name in keys.QueueKeys.__slots__]
    assert len(set(names)) == len(names)
    assert all(name.startswith("idtq:{mrz}:") for name in names)
    assert k.task("mrz:1") == "idtq:{mrz}:task:mrz:1"
    assert k.inflight("w") == "idtq:{mrz}:inflight:w"


@pytest.mark.parametrize("queue", ["mrz", "a.b_c-9", "x" * 63])
def test_a_doorbell_says_whose_it_is(queue: str) -> None:
    assert keys.queue_of_doorbell(keys.queue_keys(queue).doorbell) == queue


def test_channels() -> None:
    assert keys.control_channel("w") == "idtq:control:w"
    assert keys.reply_channel("c") == "idtq:reply:c"
