"""The reasons for which a worker takes no tasks, in the log and in the probes."""

from __future__ import annotations

import pytest

from identtqueue.worker.obstacles import CannotStart, Obstacles
from testing.waiting import eventually


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identtqueue.worker.obstacles.FIRST_PAUSE_SECONDS", 0.01)


async def fails(obstacles: Obstacles, times: int) -> None:
    """Fail a number of starts in a row, each as soon as the pause after the last one is over."""
    for _ in range(times):
        obstacles.not_started(CannotStart("no thread"))
        assert obstacles
        await obstacles.gone()


async def test_starts_that_fail_in_a_row_are_one_story(caplog: pytest.LogCaptureFixture) -> None:
    """Between two tries tasks are taken, but only a start that succeeds is called an end."""
    obstacles = Obstacles()
    await fails(obstacles, 3)
    first, *others = said(caplog)
    assert first.startswith("taking no more tasks: no thread; trying again in 0.0 s")
    assert len(others) == 2
    assert all(text.startswith("still taking no tasks: no thread; trying") for text in others)
    obstacles.started()
    obstacles.started()
    assert said(caplog)[3:] == ["taking tasks again"]


async def test_starts_that_are_no_longer_needed_end_the_story(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identtqueue.worker.obstacles.CALM_SECONDS", 0.05)
    await fails(Obstacles(), 1)
    await eventually(
        lambda: said(caplog)[1:] == ["taking tasks again"], "no start has failed since"
    )


async def test_with_two_obstacles_the_log_says_when_both_are_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    obstacles = Obstacles()
    obstacles.put("a", "text a", "detail")
    obstacles.put("b", "text b")
    obstacles.remove("a")
    assert obstacles.text == "text b"
    obstacles.remove("b")
    assert said(caplog) == [
        "taking no more tasks: text a: detail",
        "still taking no tasks: text b",
        "taking tasks again",
    ]


async def test_a_short_obstacle_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    obstacles = Obstacles()
    obstacles.put("a", "text", quiet_for_seconds=60)
    assert obstacles
    assert obstacles.text is None
    obstacles.remove("a")
    assert said(caplog) == []
