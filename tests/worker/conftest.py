"""Fixtures of the worker's tests."""

from support.serving import serve as serve
