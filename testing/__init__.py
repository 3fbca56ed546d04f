"""Tools that tests, end-to-end tests and benchmarks share.

- real servers: `redis_server`, `redis_cluster`, `sentinels`, `servers` (versions), `proxy`
- a pretended Kubernetes: `api_server`; `fleet` (pods with workers), `controllers`, `stateful_set`
- the operator in the test's process: `operating`; on simulated time: `play`
- worker processes: `processes`, with the jobs in `jobs`, `process_jobs`, `odd_errors` and others
- checks: `invariants` (of a queue in Redis), `accounts`, `ledger` (what really ran), `waiting`
- `cluster/` for a real cluster, `faults/` for `make chaos`, `compat/` for `make matrix`
"""
