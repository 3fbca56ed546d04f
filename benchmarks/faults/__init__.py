"""What survives when a worker or Redis dies: `make bench-faults`."""
