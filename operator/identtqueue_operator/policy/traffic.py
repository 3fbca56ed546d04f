"""The traffic of a trigger, pure: arrival rate and run time, from the counters of its queues."""

import math
from dataclasses import replace

from identtqueue_operator.model import Depth, Traffic

TRAFFIC_MEMORY_SECONDS = 30.0
"""Arrival rate and service time are averages that forget with this time constant."""
SILENCE = 3.0
"""After t seconds without an arrival the rate is hardly above SILENCE / t per second: with that
rate a Poisson process is silent for so long with a probability of 5 % (the "rule of three").
The average alone would keep the workers of a burst for minutes after its end."""


def measure_traffic(before: Traffic | None, depth: Depth, at: float) -> Traffic:
    """Update arrival rate and service time after one more look at the counters."""
    overall = depth.run_ms_total / depth.ended_total / 1000 if depth.ended_total else None
    now = Traffic(
        *(at, depth.enqueued_total, depth.ended_total, depth.run_ms_total),
        arrived_at=at,
        held=depth.held,
    )
    if before is None or depth.enqueued_total < before.enqueued_total or at <= before.at:
        # The first look, or the counters began anew.
        return replace(now, service_seconds=overall)
    weight = 1 - math.exp(-(at - before.at) / TRAFFIC_MEMORY_SECONDS)
    came = depth.enqueued_total - before.enqueued_total
    arrived = max(0, came - (depth.held - before.held))
    rate = before.arrivals_per_second
    rate += weight * (arrived / (at - before.at) - rate)
    if not arrived:
        now = replace(now, arrived_at=before.arrived_at)
        rate = min(rate, SILENCE / (at - before.arrived_at))
    ended = depth.ended_total - before.ended_total
    service = before.service_seconds
    if ended > 0:
        recent = (depth.run_ms_total - before.run_ms_total) / ended / 1000
        service = recent if service is None else service + weight * (recent - service)
    return replace(now, arrivals_per_second=rate, service_seconds=service)
