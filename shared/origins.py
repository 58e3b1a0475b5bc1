"""Origins of web pages, as browsers write them in the header Origin (RFC 6454): scheme://host[:port]."""

import ipaddress
import re
from typing import Final

ANY: Final = "*"
"""In place of a list: every origin."""

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d+))?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse(text: str) -> frozenset[str]:
    """Return the origins of a list separated by commas or spaces, normalised as browsers do: in lower case and without
    the default port of the scheme. Raises ValueError, whose text quotes nothing, if an entry is no origin.
    """
    entries = text.replace(",", " ").split()
    if not entries:
        raise ValueError("there is no origin in it")
    if ANY in entries and len(entries) > 1:
        raise ValueError(f"it is either {ANY}, which is every origin, or a list of origins")
    return frozenset(ANY if entry == ANY else _origin(entry.lower(), number) for number, entry in enumerate(entries, 1))


def _origin(entry: str, number: int) -> str:
    found = _ORIGIN.fullmatch(entry)
    port = int(found["port"]) if found is not None and found["port"] is not None else None
    if found is None or not _is_host(found["host"]) or (port is not None and not 0 < port < 65536):
        raise ValueError(
            f"entry {number} is no origin; write scheme://host or scheme://host:port, such as https://shop.example, "
            "without a path or a slash at the end, and a host of other letters as xn--…"
        )
    if port is None or port == _DEFAULT_PORTS.get(found["scheme"]):
        return f"{found['scheme']}://{found['host']}"
    return f"{found['scheme']}://{found['host']}:{port}"


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True
