"""The operator's own times, in one value that each part is given when it is made.

Users set none of them: what depends on a workload stands in its TaskQueue. A time is here if a test
needs it shorter or longer. Any other constant stays beside the code that it is about.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The paces and the patience of an operator, grouped by the room that uses them.

    The defaults are what the documentation describes.
    """

    # rounds
    rest_seconds: float = 0.1
    """Shortest time between rounds that events cause, while there are workers. A fleet with free
    slots empties its queue all the time, and then each task rings. At zero replicas, the first task
    causes a round at once."""
    release_seconds: float = 10.0
    """Time for calling workers back after the TaskQueue is gone."""

    # queues
    connect_seconds: float = 3.0
    """Time-out of a connection to Redis. With `response_seconds`, an outage shows in the status
    within five seconds."""
    response_seconds: float = 3.0
    """Time-out of an answer of Redis."""
    secrets_reread_seconds: float = 5.0
    """While there is trouble, a Secret is read again after this time."""
    doorbell_retry_seconds: float = 5.0
    """Pause before a doorbell that Redis refuses is tried again."""
    connection_refill_seconds: float = 3.0
    """One more connection to a Redis is free after this time: see `queues.gate`."""

    # policy
    answer_seconds: float = 30.0
    """A live operator answers another one within this time; a change of leaders takes less."""
    register_seconds: float = 60.0
    """A pod that has been ready for this long without registering runs no worker."""
    foreign_change_pause_seconds: float = 10.0
    """Pause after the second change of the number by others. It doubles with each further one."""

    # status
    numbers_seconds: float = 30.0
    """Shortest time between two writes of a status in which only numbers differ."""

    # kube
    autoscalers_period_seconds: float = 20.0
    """Period of listing other autoscalers. A watch reports most changes sooner."""
    autoscalers_retry_seconds: tuple[float, float] = (0.2, 20.0)
    """First and longest pause after such a list that failed."""
    pods_retry_seconds: tuple[float, float] = (0.2, 10.0)
    """First and longest pause after a list or a watch of pods that failed."""

    # server
    rotation_seconds: float = 60.0
    """Period of checking whether the certificate of the HTTP port has been renewed."""


DEFAULTS = Timings()
"""The operator's timings, unless it is given others."""
