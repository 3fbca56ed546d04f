"""Real parts for the tests: Redis servers, worker processes and proxies."""
