"""The worker: fetch, execute, finish, and what keeps it honest."""
