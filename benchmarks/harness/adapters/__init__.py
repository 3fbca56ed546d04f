"""One module per library: its job, its worker, and how a producer enqueues and awaits."""
