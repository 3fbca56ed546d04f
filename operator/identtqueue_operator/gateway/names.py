"""Names that both ends of the gateway know."""

from typing import Final

AUDIENCE: Final = "gateway.identtqueue.dev"
"""The audience of tokens that are for the gateway alone."""
PORT_VARIABLE: Final = "IDENTTQUEUE_GATEWAY_PORT"
"""Environment variable of the operator's container with the port."""
