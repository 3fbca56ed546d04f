"""Fixtures of the client's tests."""

from support.serving import serve

__all__ = ["serve"]
