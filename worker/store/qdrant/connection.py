"""How a client of a Qdrant server is made."""

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
    # After a lost connection gRPC refuses calls for a second, and later for minutes, before it tries again.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 400,
    # Channels of one address share a connection otherwise, and with it the fate of that connection.
    "grpc.use_local_subchannel_pool": 1,
    # A machine that vanished closes no connection: without pings, calls would go there until TCP gives up.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 2_000,
}


_AT_ONCE: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Closing a connection takes back what of a call has not arrived. The system would go on sending it for minutes, and
what was added and deleted meanwhile would be back."""


class TimedClient(QdrantRemote):
    """Qdrant's client, where each call takes its time limit when it is made.

    The client itself knows one limit, in whole seconds, for most calls of gRPC and for each phase of REST (connecting,
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
        """The client's own, which is not used."""

    def _limited(self, request: httpx.Request, call_next: Any) -> httpx.Response:
        seconds = self._retries.attempt_s()
        connecting = seconds / 3
        phases = {"connect": connecting, "pool": connecting, "write": seconds, "read": seconds - connecting}
        request.extensions["timeout"] = phases
        response: httpx.Response = call_next(request)
        return response


def connect(settings: Settings, retries: Retries) -> TimedClient:
    """A client that has not sent anything yet. Raises OperatorError on a bad URL.

    Certificates are checked against those that the environment's SSL_CERT_FILE holds, or else the usual authorities.
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
                # For a server on the same machine the client would connect anew for each call.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                socket_options=[_AT_ONCE],
            ),
        )
    except ValueError as error:
        raise OperatorError(f"QDRANT_URL is no URL: {error}") from None


def required_url(settings: Settings) -> str:
    """Raises OperatorError if there is none."""
    if not settings.qdrant_url:
        raise OperatorError("QDRANT_URL is not set; give one, or set FACESEARCH_STORE=edge")
    return settings.qdrant_url


def _authorities(url: str) -> dict[str, Any]:
    """What gRPC has to be told: it knows another variable than everybody else."""
    file = os.environ.get("SSL_CERT_FILE")
    if not file or not url.startswith("https"):
        return {}
    try:
        return {"root_certificates": Path(file).read_bytes()}
    except OSError as error:
        raise OperatorError(f"SSL_CERT_FILE names {file}, which cannot be read ({error.strerror})") from None
