"""TLS contexts of HTTP clients in tests, of which most connect without TLS.

httpx makes a context for each client, and reading the certificates of all authorities takes it 30 ms of a core. Tests
make thousands of clients, also to ask again and again whether a server is ready.
"""

import os
import ssl
from typing import Any

from httpx import create_ssl_context
from httpx._transports import default

_made: dict[Any, ssl.SSLContext] = {}
"""Contexts by the variables that name their certificates."""


def share() -> None:
    """Give all clients of this process that trust the same certificates one context."""
    default.create_ssl_context = _shared  # type: ignore[attr-defined]


def _shared(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is not True or cert is not None:
        return create_ssl_context(verify, cert, trust_env)
    trusted = trust_env and (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    if trusted not in _made:
        _made[trusted] = create_ssl_context(trust_env=trust_env)
    return _made[trusted]
