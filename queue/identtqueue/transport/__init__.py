"""Connections to Redis: asyncio, blocking, pub/sub."""
