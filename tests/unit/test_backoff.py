"""Pauses between attempts."""

from __future__ import annotations

from identtqueue.transport.backoff import backoff_seconds


def test_pauses_grow_and_end_at_two_seconds() -> None:
    for failures in (0, 1, 2, 16, 10**9):
        pauses = [backoff_seconds(failures) for _ in range(100)]
        assert all(0 <= pause <= 2.0 for pause in pauses)
    assert max(backoff_seconds(1) for _ in range(100)) <= 0.1 + 1e-9
    for failures in (1, 9, 16):
        assert len({backoff_seconds(failures) for _ in range(20)}) > 1, "jitter"
