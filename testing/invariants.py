"""Invariants of a queue, which hold at every moment. Many tests call `check_invariants`.

It may run while clients and workers are busy, because one script reads the whole queue at one
moment.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

import redis

from identtqueue.protocol.keys import QUEUES, ROOT, queue_keys
from identtqueue.task import State
from testing.packing import fields_in

_READ_ALL: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else value = redis.call('HGETALL', key) end
  found[#found + 1] = {key, kind, value, redis.call('PTTL', key)}
end
return found
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: a LIST as a list, a ZSET and a HASH as a dict, a SET as a set, a STRING as bytes.

    A `packed` task is shown as the HASH that it would have.
    """

    kind: str
    value: Any
    expires: bool
    packed: bool = False


Snapshot = dict[str, Entry]


def snapshot(server: redis.Redis, queue: str) -> Snapshot:
    """Read every key of the queue at one moment. Packed tasks are shown like others."""
    seen = {
        key.decode(): Entry(kind.decode(), _plain(kind, value), ttl_ms >= 0)
        for key, kind, value, ttl_ms in server.eval(_READ_ALL, 0, f"*{queue}*")
    }
    for whole in [key for key in seen if key.endswith(":packed_tasks")]:
        packed = seen.pop(whole)
        assert packed.kind == "hash", f"{whole}: a {packed.kind}"
        owner = _KEY.fullmatch(whole)
        assert owner is not None, f"{whole}: no key of the protocol"
        for short, text in packed.value.items():
            key = queue_keys(owner.group(1)).task(f"{owner.group(1)}:{short}")
            assert key not in seen, f"{key} is packed, and has a hash"
            seen[key] = Entry("hash", fields_in(text), expires=False, packed=True)
    return seen


def _plain(kind: bytes, value: Any) -> Any:
    if kind == b"list":
        return [item.decode(errors="backslashreplace") for item in value]
    if kind == b"set":
        return {item.decode() for item in value}
    if kind == b"zset":
        return {value[i].decode(): float(value[i + 1]) for i in range(0, len(value), 2)}
    if kind == b"hash":
        return {value[i].decode(): value[i + 1] for i in range(0, len(value), 2)}
    return value


def without_dead(seen: Snapshot, queue: str) -> Snapshot:
    """Leave out what expires by itself, and cancelled ids in lists, which any script may remove."""
    k = queue_keys(queue)
    lists = {k.held_prefix + job: ids for job, ids in held_tasks(seen, queue).items()}
    lists[k.pending] = pending_tasks(seen, queue)
    changed = {key: replace(seen[key], value=ids) for key, ids in lists.items() if ids}
    dead = (k.tombstones, k.pending, k.held_prefix, k.answer_prefix, k.promoted)
    return {key: entry for key, entry in seen.items() if not key.startswith(dead)} | changed


_KINDS: Final = {
    "pending": "list",
    "wake": "list",
    "alarm": "string",
    "promoted": "string",
    "inflight": "list",
    "scheduled": "zset",
    "expiring": "zset",
    "dead": "zset",
    "ended": "list",
    "workers": "zset",
    "info": "hash",
    "meta": "hash",
    "stats": "hash",
    "task": "hash",
    "draining": "set",
    "paused": "string",
    "paused_jobs": "hash",
    "audit": "list",
    "unique": "string",
    "answer": "string",
    "limits": "hash",
    "rates": "hash",
    "blocked": "zset",
    "held": "list",
    "tombstones": "hash",
    "suspects": "list",
    "shelf": "list",
    "cron": "hash",
    "shelves": "hash",
    "served": "hash",
    "isolating": "string",
    "jobs": "hash",
    "releases": "zset",
    "enqueued": "zset",
    "minute": "hash",
    "hour": "hash",
    "counted": "hash",
    "running": "set",
    "v02:owed": "zset",
    "v02:refused": "list",
    "v02:direction": "string",
    "v02:sent": "string",
}
"""Keys that a queue may have."""

_KEY: Final = re.compile(rf"{ROOT}:\{{([a-z0-9._-]+)\}}:([a-z_]+|v02:[a-z]+)(:.+)?", re.DOTALL)

_attempts: dict[str, tuple[bytes, int]] = {}
"""By task: when it was enqueued (ids are reused), and the highest attempt number seen."""


def check_invariants(server: redis.Redis, queue: str) -> Snapshot:
    """Check all invariants; return what was seen of each task.

    Raises:
        AssertionError: an invariant does not hold.
    """
    seen = snapshot(server, queue)
    tasks = _tasks(seen, queue)
    _check_keys(seen, queue)
    _check_containers(seen, tasks, queue)
    _check_ends(tasks)
    _check_recent(seen, tasks, queue)
    _check_expiring(seen, tasks, queue)
    _check_workers(seen, queue)
    _check_attempts(tasks, queue)
    _check_unique_keys(seen, tasks, queue)
    _check_limits(seen, tasks, queue)
    _check_numbers(seen, queue)
    wake = _value(seen, queue_keys(queue).wake, [])
    assert len(wake) <= 1, f"{len(wake)} tokens in wake"
    return seen


_READ_CONTAINERS: Final = """
local found = {redis.call('LRANGE', KEYS[1], 0, -1), redis.call('ZRANGE', KEYS[2], 0, -1),
  redis.call('ZRANGE', KEYS[3], 0, -1)}
for _, worker in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  found[#found + 1] = redis.call('LRANGE', ARGV[1] .. worker, 0, -1)
end
return {found, redis.call('HGETALL', KEYS[5])}
"""


def check_containers(server: redis.Redis, queue: str) -> None:
    """Check the one invariant that can be checked at any time on a queue of any length.

    Raises:
        AssertionError: an id is in two places, or twice in one.
    """
    k = queue_keys(queue)
    keys = (k.pending, k.scheduled, k.dead, k.workers, k.tombstones)
    lists, dead = server.eval(_READ_CONTAINERS, len(keys), *keys, k.inflight_prefix)
    ids = Counter(chain.from_iterable(lists))
    ids.subtract({dead[i]: int(dead[i + 1]) for i in range(0, len(dead), 2)})
    several = [task_id.decode() for task_id, number in ids.items() if number > 1]
    assert not several, f"in several places: {several}"


def _value(seen: Snapshot, key: str, nothing: Any) -> Any:
    entry = seen.get(key)
    return nothing if entry is None else entry.value


def _tasks(seen: Snapshot, queue: str) -> dict[str, Entry]:
    prefix = queue_keys(queue).task_prefix
    return {key.removeprefix(prefix): e for key, e in seen.items() if key.startswith(prefix)}


def _check_keys(seen: Snapshot, queue: str) -> None:
    for key, entry in seen.items():
        if key == QUEUES:
            continue
        match = _KEY.fullmatch(key)
        assert match is not None, f"{key}: no key of the protocol, or no hash tag"
        if match.group(1) == queue:
            expected = _KINDS.get(match.group(2))
            assert entry.kind == expected, f"{key}: a {entry.kind}, expected {expected}"


def _check_numbers(seen: Snapshot, queue: str) -> None:
    """Check that the numbers of minutes and hours expire, and that their fields are counted."""
    k = queue_keys(queue)
    for key, entry in seen.items():
        if key.startswith((k.minute_prefix, k.hour_prefix)):
            assert entry.expires, key
            number = int(entry.value["jobs"])
            assert number > 0
            assert number == len(entry.value) - 1 or number > 2_000, key
    assert set(_value(seen, k.counted, {})) <= set(_value(seen, k.workers, {}))


def _check_containers(seen: Snapshot, tasks: dict[str, Entry], queue: str) -> None:
    """Check that each id is in one container and that its hash agrees."""
    k = queue_keys(queue)
    places: list[tuple[str, State, str | None]] = [
        *((task_id, State.PENDING, None) for task_id in pending_tasks(seen, queue)),
        *((task_id, State.PENDING, None) for task_id in _value(seen, k.suspects, [])),
        *(
            (task_id, State.PENDING, None)
            for ids in held_tasks(seen, queue).values()
            for task_id in ids
        ),
        *((task_id, State.PENDING, None) for task_id in shelved_tasks(seen, queue)),
        *((task_id, State.SCHEDULED, None) for task_id in _value(seen, k.scheduled, {})),
        *((task_id, State.FAILED, None) for task_id in _value(seen, k.dead, {})),
    ]
    for key, entry in seen.items():
        if key.startswith(k.inflight_prefix):
            worker = key.removeprefix(k.inflight_prefix)
            places += ((task_id, State.RUNNING, worker) for task_id in entry.value)
    several = [task_id for task_id, n in Counter(place[0] for place in places).items() if n > 1]
    assert not several, f"in several places: {several}"

    for task_id, state, worker in places:
        if task_id not in tasks and state is State.FAILED:
            continue  # its hash has expired; the next dead letter sweeps the id out
        assert task_id in tasks, f"{task_id} is {state}, but has no hash"
        fields = tasks[task_id].value
        assert fields.get("state", b"").decode() == state, (
            f"{task_id}: in the container of {state}, its hash says {fields.get('state')}"
        )
        if worker is not None:
            assert fields["owner"].decode() == worker, f"{task_id}: in {worker}'s hands: {fields}"

    for task_id in _value(seen, k.suspects, []):
        assert "suspect" in tasks[task_id].value, f"{task_id}: no suspect: {tasks[task_id].value}"
    contained = {place[0] for place in places}
    for task_id, entry in tasks.items():
        state = State(entry.value["state"].decode())
        free = state in (State.SUCCEEDED, State.CANCELLED)
        assert free != (task_id in contained), (
            f"{task_id} is {state} and {'in a' if free else 'in no'} container"
        )


def _check_expiring(seen: Snapshot, tasks: dict[str, Entry], queue: str) -> None:
    """Check that `expiring` holds exactly the tasks that may expire and have not started."""
    waiting = {
        task_id: float(entry.value["expires_at"])
        for task_id, entry in tasks.items()
        if "expires_at" in entry.value
        and "started_at" not in entry.value
        and not State(entry.value["state"].decode()).ended
    }
    assert _value(seen, queue_keys(queue).expiring, {}) == waiting


def _check_ends(tasks: dict[str, Entry]) -> None:
    """Check that ended tasks expire, say how they ended, and keep nothing that only a run needs."""
    for task_id, entry in tasks.items():
        fields = entry.value
        state = State(fields["state"].decode())
        assert entry.expires == state.ended, f"{task_id}: {state}, expires: {entry.expires}"
        assert "function" in fields, f"{task_id}: {fields}"
        assert int(fields["enqueued_at"]) > 0
        if state is State.RUNNING:
            assert int(fields["attempt"]) > 0
            assert "started_at" in fields
        if not state.ended:
            assert "payload" in fields, f"{task_id}: {state}, without its payload"
            assert "finished_at" not in fields
            continue
        assert "finished_at" in fields
        assert "waiters" not in fields, f"{task_id}: {state}, somebody still waits"
        assert ("result" if state is State.SUCCEEDED else "error") in fields
        assert "payload" in fields or state is not State.FAILED, f"{task_id}: no payload"


def _check_recent(seen: Snapshot, tasks: dict[str, Entry], queue: str) -> None:
    """Check that every task that has ended is among the recent ends, as all of them are kept."""
    k = queue_keys(queue)
    if "keeping" in _value(seen, k.meta, {}):
        return  # a test that keeps fewer
    ends = Counter(_value(seen, k.ended, []))
    for task_id, entry in tasks.items():
        fields = entry.value
        if State(fields["state"].decode()).ended:
            end = f"{fields['finished_at'].decode()} {task_id}"
            assert ends[end] >= 1, f"{task_id} is not among the recent ends"


def _check_workers(seen: Snapshot, queue: str) -> None:
    """Check that every worker that owns tasks, has a description or drains is listed."""
    k = queue_keys(queue)
    listed = set(_value(seen, k.workers, {}))
    owners = {
        key.removeprefix(k.inflight_prefix) for key in seen if key.startswith(k.inflight_prefix)
    }
    assert owners <= listed, f"in flight at workers that are not listed: {owners - listed}"
    assert set(_value(seen, k.info, {})) == listed
    assert _value(seen, k.draining, set()) <= listed


def _check_attempts(tasks: dict[str, Entry], queue: str) -> None:
    for task_id in [t for t in _attempts if t.startswith(f"{queue}:") and t not in tasks]:
        del _attempts[task_id]
    for task_id, entry in tasks.items():
        born, attempt = entry.value["enqueued_at"], int(entry.value.get("attempt", 0))
        before = _attempts.get(task_id)
        if before is not None and before[0] == born:
            assert attempt >= before[1], f"{task_id}: attempt fell from {before[1]} to {attempt}"
        _attempts[task_id] = (born, attempt)


def held_tasks(seen: Snapshot, queue: str) -> dict[str, list[str]]:
    """Return the ids that each job's limits hold back, without cancelled ones."""
    k = queue_keys(queue)
    lists = {
        key.removeprefix(k.held_prefix): _living(
            seen, key, f"{k.tombstones}:{key[len(k.held_prefix) :]}"
        )
        for key in seen
        if key.startswith(k.held_prefix)
    }
    return {job: ids for job, ids in lists.items() if ids}


def pending_tasks(seen: Snapshot, queue: str) -> list[str]:
    """Return the ids in `pending`, without cancelled ones."""
    k = queue_keys(queue)
    return _living(seen, k.pending, k.tombstones)


def _living(seen: Snapshot, key: str, tombstones: str) -> list[str]:
    """Return the ids of a list without tombstones. Check that each tombstone has its id."""
    dead = {task_id: int(number) for task_id, number in _value(seen, tombstones, {}).items()}
    total = dead.pop("", 0)
    assert total == sum(dead.values()), f"{tombstones}: {dead}, in all {total}"
    living = []
    for task_id in _value(seen, key, []):
        if dead.get(task_id, 0):
            dead[task_id] -= 1
        else:
            living.append(task_id)
    assert not any(dead.values()), f"{tombstones}: {dead}, and not in the list"
    return living


def shelved_tasks(seen: Snapshot, queue: str) -> list[str]:
    """Return the ids of declined tasks. The lists of shelves may contain cancelled ones as well."""
    k = queue_keys(queue)
    found: list[str] = []
    for shelf, number in _value(seen, k.shelves, {}).items():
        ids = [
            task_id
            for task_id in dict.fromkeys(_value(seen, k.shelf_prefix + shelf, []))
            if k.task(task_id) in seen
            and seen[k.task(task_id)].value.get("shelf", b"").decode() == shelf
        ]
        assert len(ids) == int(number) > 0, f"{shelf}: {number} tasks, {ids}"
        found += ids
    lists = {key.removeprefix(k.shelf_prefix) for key in seen if key.startswith(k.shelf_prefix)}
    assert lists == set(_value(seen, k.shelves, {})) >= set(_value(seen, k.served, {}))
    return found


def _check_limits(seen: Snapshot, tasks: dict[str, Entry], queue: str) -> None:
    """Check that held tasks are of their list's job, and that tasks that take a slot are running.

    A job waits for the end of a running task (+inf) only while a task that takes a slot is running.
    """
    k = queue_keys(queue)
    held, blocked = held_tasks(seen, queue), _value(seen, k.blocked, {})
    lists = {key.removeprefix(k.held_prefix) for key in seen if key.startswith(k.held_prefix)}
    assert lists == set(blocked), f"held: {lists}, blocked: {blocked}"
    for key in seen:
        if key.startswith(k.tombstones):
            listed = (
                k.held_prefix + key[len(k.tombstones) + 1 :] if key != k.tombstones else k.pending
            )
            assert listed in seen, f"{key}: there is no list"
    for job, ids in held.items():
        for task_id in ids:
            fields = tasks[task_id].value
            assert fields["function"].decode() == job, f"{task_id}: held for {job}"
            assert fields["held"].decode() == job, f"{task_id}: {fields}"
    for task_id, entry in tasks.items():
        if "held" in entry.value and not State(entry.value["state"].decode()).ended:
            assert task_id in held.get(entry.value["held"].decode(), ()), f"{task_id} is not held"
    counted = {
        (task_id, key.removeprefix(k.running_prefix))
        for key, entry in seen.items()
        if key.startswith(k.running_prefix)
        for task_id in entry.value
    }
    assert counted == {
        (task_id, entry.value["slot"].decode())
        for task_id, entry in tasks.items()
        if "slot" in entry.value
    }
    for task_id, job in counted:
        fields = tasks[task_id].value
        # A suspect keeps its slot while it waits.
        state = b"pending" if task_id in _value(seen, k.suspects, []) else b"running"
        assert (fields["state"], fields["function"].decode()) == (state, job), fields
    waiting = {job for job, due in blocked.items() if due == float("inf")}
    paused = set(_value(seen, k.paused_jobs, {}))
    assert waiting <= paused | {job for _, job in counted}, f"{waiting} wait for what will not come"
    assert set(_value(seen, k.rates, {})) <= set(_value(seen, k.limits, {}))


def _check_unique_keys(seen: Snapshot, tasks: dict[str, Entry], queue: str) -> None:
    prefix = queue_keys(queue).unique_prefix
    for key, entry in seen.items():
        if not key.startswith(prefix):
            continue
        assert entry.expires, f"{key} is held for ever"
        task_id = entry.value.decode()
        assert task_id in tasks, f"{key} is held by {task_id}, which does not exist"
        fields = tasks[task_id].value
        assert fields.get("unique", b"").decode() == key.removeprefix(prefix)
        assert not State(fields["state"].decode()).ended, f"{key} is held by {task_id}: {fields}"
