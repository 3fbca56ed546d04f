"""Connections to Redis: for asyncio, for blocking code, and for pub/sub."""
