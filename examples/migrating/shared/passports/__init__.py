"""What the service does with a passport. It knows no task queue, so a move leaves it as it is."""
