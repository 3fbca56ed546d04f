"""Fixtures of the client's tests."""

from testing.serving import serve

__all__ = ["serve"]
