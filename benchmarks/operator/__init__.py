"""The operator on a real API server, beside its targets."""
