"""The protocol: what is in Redis, and what changes it. No I/O.

- `keys`, `states`, `lua/`: the names of keys, the transitions of a task, the scripts behind them.
- `scripts` loads them; `roles` derives the Redis ACL from them.
- `calls` has one function for each `call`. It parses what Redis sends into `answers`.
- `submission` checks a task that is enqueued. `codec` writes and reads its values, with the help of
  `foreign`, `sameness` and `conversion`.
"""
