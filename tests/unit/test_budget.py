"""Answers of a server: the meter agrees with the decoder, and stops those that are too large."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import exceptions as redis_errors

from identtqueue.transport import budget
from identtqueue.transport.budget import MIB, ReplyBudget, ReplyMeter, ReplyRefused

lines = st.binary(max_size=40).filter(lambda text: b"\r" not in text and b"\n" not in text)
leaves = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b":%d\r\n" % n),
    lines.map(lambda text: b"+" + text + b"\r\n"),
    lines.map(lambda text: b"-ERR" + text + b"\r\n"),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n"]),
    st.binary(max_size=60).map(lambda text: b"$%d\r\n%b\r\n" % (len(text), text)),
)
replies = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=5).map(
        lambda each: b"*%d\r\n%b" % (len(each), b"".join(each))
    ),
    max_leaves=25,
).filter(lambda reply: _depth(reply) <= budget.DEEPEST)


def _depth(reply: bytes) -> int:
    """Bound the depth of nesting from above, by counting consecutive arrays."""
    return reply.count(b"*")


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def feed(meter: ReplyMeter, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        meter.feed(piece)


def decode(reader: hiredis.Reader) -> list[Any]:
    found = []
    while (reply := reader.gets()) is not ...:
        found.append(reply)
    return found


def new_reader() -> hiredis.Reader:
    return hiredis.Reader(protocolError=redis_errors.InvalidResponse, notEnoughData=...)


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(replies, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=6))
def test_the_meter_lets_pass_what_redis_says_however_it_is_cut(
    said: list[bytes], places: list[int]
) -> None:
    meter, reader, found = ReplyBudget().meter(), new_reader(), 0
    for piece in cut(b"".join(said), places):
        meter.feed(piece)
        reader.feed(piece)
        found += len(decode(reader))
    assert found == len(said)
    assert meter.between_replies


@pytest.mark.slow
@settings(max_examples=1000)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [b"*", b"$", b":", b"+", b"-", b"%", b"_", b"\r\n", b"\n", b"-1", b"9" * 20, b"3"]
            ),
            max_size=60,
        ).map(b"".join),
    ),
    st.lists(st.integers(0, 300), max_size=4),
)
def test_any_bytes_are_replies_or_a_typed_error(data: bytes, places: list[int]) -> None:
    meter, reader = ReplyBudget().meter(), new_reader()
    try:
        for piece in cut(data, places):
            meter.feed(piece)
            reader.feed(piece)
            decode(reader)
    except redis_errors.InvalidResponse:
        return
    assert meter.weight < MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"$2000000000\r\n",
        b"*100000000\r\n",
        b"*4294967295\r\n",
        b"*1\r\n" * 200_000,
        b"*200000\r\n" + b"*200000\r\n:1\r\n" * 10,
        b"+" + b"x" * 200_000,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$-2\r\n",
        b"*1_0\r\n",
        b"%1\r\n+a\r\n+b\r\n",
    ],
    ids=lambda data: repr(data[:12]),
)
@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_what_is_too_much_is_refused_at_its_announcement(data: bytes, size: int) -> None:
    meter = ReplyBudget().meter()
    data = data[:100_000]
    with pytest.raises(ReplyRefused):
        feed(meter, [data[at : at + size] for at in range(0, len(data), size)])


@pytest.mark.slow
@pytest.mark.parametrize("one", [b":1\r\n", b"-\r\n", b"*0\r\n", b"$0\r\n\r\n", b"+\r\n"])
def test_small_replies_without_an_end_are_too_much_together(one: bytes) -> None:
    meter = ReplyBudget().meter()
    with pytest.raises(ReplyRefused):
        feed(meter, itertools.repeat(one * 1000, 16 * MIB // budget.ELEMENT_BYTES // 1000 + 1))


def test_a_reply_of_a_large_fleet_passes() -> None:
    """20,000 workers in one queue, as the script `workers` lists them."""
    info = b"x" * 350
    row = b"$40\r\n%b\r\n:1\r\n:1\r\n:0\r\n$%d\r\n%b\r\n" % (b"w" * 40, len(info), info)
    meter = ReplyBudget().meter()
    meter.feed(b"*100000\r\n" + row * 20_000)
    assert meter.between_replies


def test_a_byte_now_and_then_is_no_reply() -> None:
    now = [0.0]
    meter = ReplyBudget(clock=lambda: now[0]).meter()
    meter.feed(b"$100\r\n")

    def trickle() -> Iterator[bytes]:
        for _ in range(100):
            now[0] += 2.0
            yield b"x"

    with pytest.raises(ReplyRefused, match="more than 30 s"):
        feed(meter, trickle())


def test_many_large_replies_share_one_budget_and_a_modest_one_passes() -> None:
    """A hundred servers that each send as much as they may cannot fill the memory together."""
    shared = ReplyBudget()
    greedy, modest = [shared.meter() for _ in range(100)], shared.meter()
    refused = set()
    for meter in greedy:
        meter.feed(b"$15000000\r\n")
    for _ in range(200):
        for number, meter in enumerate(greedy):
            if number in refused:
                continue
            try:
                meter.feed(b"x" * 65_536)
            except ReplyRefused:
                refused.add(number)
                meter.begin()  # its connection is closed
        assert sum(meter.weight for meter in greedy) <= 2 * shared.total_bytes
        modest.begin()
        modest.feed(b"$60000\r\n" + b"y" * 60_000 + b"\r\n")
    assert len(refused) > 90


def test_a_meter_that_is_gone_counts_no_more() -> None:
    shared = ReplyBudget(total_bytes=MIB)

    def read(meter: ReplyMeter) -> None:
        meter.feed(b"$900000\r\n" + b"x" * 900_000)

    for _ in range(10):
        read(shared.meter())
