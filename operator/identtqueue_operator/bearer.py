"""Bearer tokens of HTTP requests."""

import hashlib


def token_of(authorization: str) -> str:
    """Return the token in the header `Authorization: Bearer <token>`; empty if it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def digest_of(token: str) -> bytes:
    """Return the digest under which answers about a token are remembered."""
    return hashlib.sha256(token.encode()).digest()
