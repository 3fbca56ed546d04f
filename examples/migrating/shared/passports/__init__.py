"""The work of the service. It knows no task queue, so a move leaves it as it is."""
