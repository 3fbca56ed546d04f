"""The state machine of `protocol.machine` on the system's Redis.

With `HYPOTHESIS_PROFILE=thorough` it runs for many minutes.
"""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis.stateful import run_state_machine_as_test

from identtqueue.protocol.states import CALLERS
from protocol.machine import QueueMachine, machine_settings
from testing.redis_server import RedisServer


@pytest.mark.parametrize(
    "share", [0.04, pytest.param(1.0, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])]
)
def test_random_histories_follow_the_table(redis_server: RedisServer, share: float) -> None:
    class Machine(QueueMachine):
        server = redis_server

    run_state_machine_as_test(Machine, settings=machine_settings(share))


def test_each_script_has_a_step(redis_server: RedisServer) -> None:
    class Machine(QueueMachine):
        server = redis_server
        scripts_run: ClassVar[set[str]] = set()

    machine = Machine()
    try:
        machine.start()
        machine.take_each_step()
    finally:
        machine.teardown()
    assert set(CALLERS) <= Machine.scripts_run
