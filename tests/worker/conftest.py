"""Fixtures of the worker's tests."""

from support.serving import serve

__all__ = ["serve"]
