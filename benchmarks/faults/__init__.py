"""The tasks that survive the death of a worker or of Redis: `make bench-faults`."""
