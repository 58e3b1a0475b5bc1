"""The client of a Qdrant server."""

import os
import socket
import struct
from pathlib import Path
from typing import Any, Final

import httpx
from qdrant_client.qdrant_remote import QdrantRemote

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.qdrant.retries import Retries

_GRPC: Final = {
    # By default gRPC refuses calls for a second after a lost connection, and later for minutes, before it reconnects.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 400,
    # By default channels to one address share a connection, and are lost with it.
    "grpc.use_local_subchannel_pool": 1,
    # A machine that vanishes closes no connection: without pings, calls would go there until TCP times out.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 2_000,
}


_AT_ONCE: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Closing a connection discards what was not sent yet. Otherwise the system keeps sending it for minutes, and an old
write could undo later ones."""


class TimedClient(QdrantRemote):
    """Qdrant's client, with a time limit for each call that is set when the call is made.

    Qdrant's own has one limit, in whole seconds, for most calls of gRPC and for each phase of a REST call (connecting,
    sending, reading).
    """

    def __init__(self, retries: Retries, **options: Any) -> None:
        self._retries = retries
        super().__init__(check_compatibility=False, **options)
        self.openapi_client.client.add_middleware(self._limited)

    @property
    def _timeout(self) -> Any:
        return self._retries.attempt_s()

    @_timeout.setter
    def _timeout(self, _: Any) -> None:
        """Ignore the client's own limit."""

    def _limited(self, request: httpx.Request, call_next: Any) -> httpx.Response:
        seconds = self._retries.attempt_s()
        connecting = seconds / 3
        phases = {"connect": connecting, "pool": connecting, "write": seconds, "read": seconds - connecting}
        request.extensions["timeout"] = phases
        response: httpx.Response = call_next(request)
        return response


def connect(settings: Settings, retries: Retries) -> TimedClient:
    """Return a client that has not sent anything yet. Raises OperatorError for a bad URL.

    Certificates are verified by those in SSL_CERT_FILE, if the environment names one, or else by the system's.
    """
    url, key = required_url(settings), settings.qdrant_api_key
    options = dict(_GRPC) | _authorities(url)
    # The key goes as a header: the client prints warnings about it otherwise.
    headers = {"api-key": key.get_secret_value()} if key else None
    try:
        return TimedClient(
            retries,
            url=url,
            headers=headers,
            prefer_grpc=settings.qdrant_grpc,
            grpc_port=settings.qdrant_grpc_port,
            grpc_options=options,
            transport=httpx.HTTPTransport(
                # For a server on the same machine the client would open a connection for each call.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                socket_options=[_AT_ONCE],
            ),
        )
    except ValueError as error:
        raise OperatorError(f"QDRANT_URL is no URL: {error}") from None


def required_url(settings: Settings) -> str:
    """Return QDRANT_URL. Raises OperatorError if it is not set."""
    if not settings.qdrant_url:
        raise OperatorError("QDRANT_URL is not set; give one, or set FACESEARCH_STORE=edge")
    return settings.qdrant_url


def _authorities(url: str) -> dict[str, Any]:
    """Return gRPC's option for the certificates of SSL_CERT_FILE, a variable that gRPC does not read."""
    file = os.environ.get("SSL_CERT_FILE")
    if not file or not url.startswith("https"):
        return {}
    try:
        return {"root_certificates": Path(file).read_bytes()}
    except OSError as error:
        raise OperatorError(f"SSL_CERT_FILE names {file}, which cannot be read ({error.strerror})") from None
