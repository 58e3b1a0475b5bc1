"""Listening sockets of the gateway. `facesearch up` holds them, so that callers queue while a gateway restarts."""

import os
import socket
from dataclasses import dataclass

from shared.errors import OperatorError
from shared.settings import Settings


@dataclass(frozen=True)
class Endpoint:
    """A listening socket of the gateway, and the key of the API that it serves."""

    listening: socket.socket
    key: str

    @property
    def address(self) -> str:
        """The URL of the endpoint for callers on this machine; a wildcard address becomes the loopback address."""
        return url_of(*self.listening.getsockname()[:2])


def url_of(host: str, port: int) -> str:
    """Return the URL of what listens on an address, for callers on this machine; a wildcard address becomes the
    loopback address.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def admin_port(settings: Settings) -> int:
    """Return the port of the admin API: that of the settings or, if only `port` was set, the one after it, so that a
    second service needs one option.
    """
    default = Settings.model_fields["port"].default
    if settings.port == default or "admin_port" in settings.model_fields_set:
        return settings.admin_port
    return (settings.port + 1) % 65536 if settings.port else 0


def listen(host: str, port: int, options: str = "--host or --port") -> socket.socket:
    """Return a listening socket. Raises OperatorError, which names the options, if the address is not available."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        # create_server repeats the address in the error's own text.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise OperatorError(f"cannot listen on {host} port {port}: {why}; choose another with {options}") from None
