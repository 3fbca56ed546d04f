"""Fixtures of the worker's tests."""

from testing.serving import serve

__all__ = ["serve"]
