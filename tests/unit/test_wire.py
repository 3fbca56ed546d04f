"""The words of calls, as they are sent."""

from __future__ import annotations

import pytest

from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import claiming
from identtqueue.protocol.scripts import script
from identtqueue.transport import wire


def test_a_plain_command_is_sent_as_it_is() -> None:
    assert wire.words(claiming.in_flight("q", "w")) == ("LRANGE", "idtq:{q}:inflight:w", 0, -1)


def test_a_script_with_the_wrong_keys_is_not_sent() -> None:
    wanted = script("wake").key_count
    with pytest.raises(ValueError, match=f"wake takes {wanted} keys, got 1"):
        wire.words(Call("wake", ("one",), (), parse=int))
