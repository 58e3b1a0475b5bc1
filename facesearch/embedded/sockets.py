"""Where the gateway is reached: sockets that `facesearch up` holds, so that callers queue while a gateway restarts."""

import os
import socket
from dataclasses import dataclass

from shared.errors import OperatorError
from shared.settings import Settings


@dataclass(frozen=True)
class Door:
    """Where the gateway is reached, and the key that opens it."""

    listening: socket.socket
    key: str

    @property
    def address(self) -> str:
        """URL for this machine: a wildcard address is reached through loopback."""
        host, port = self.listening.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def admin_port(settings: Settings) -> int:
    """Next to the port that was chosen, unless it was chosen itself: a second service needs one option, not two."""
    default = Settings.model_fields["port"].default
    if settings.port == default or "admin_port" in settings.model_fields_set:
        return settings.admin_port
    return (settings.port + 1) % 65536 if settings.port else 0


def listen(host: str, port: int, options: str = "--host or --port") -> socket.socket:
    """A listening socket.

    Raises OperatorError when the address cannot be had, and names the options that choose another.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        # create_server repeats the address in the error's own text.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise OperatorError(f"cannot listen on {host} port {port}: {why}; choose another with {options}") from None
