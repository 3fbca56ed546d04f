"""Processes for jobs that keep a CPU busy.

In the worker: `pool` lends processes to attempts, `process` is one of them. In the process: `child`
runs the jobs, on the event loop of `job_loop`. Both exchange `messages`,
which the worker reads with `incoming`.
"""
