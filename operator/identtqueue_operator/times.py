"""Times as the API server writes them (RFC 3339), and as the operator reckons with them."""

from datetime import UTC, datetime


def timestamp(text: str | None) -> float | None:
    """Parse an RFC 3339 time to seconds since the epoch; None if it is missing or malformed."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def rfc3339(at: float) -> str:
    """Write an RFC 3339 time, in whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
