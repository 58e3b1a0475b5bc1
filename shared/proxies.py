"""Lists of addresses and networks, of trusted proxies."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str) -> Sequence[Network]:
    """Return the networks of a list separated by commas or spaces; an address is a network of one.

    Raises ValueError, whose text quotes nothing, if an entry is neither.
    """
    networks = []
    for number, entry in enumerate(text.replace(",", " ").split(), 1):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            raise ValueError(
                f"entry {number} is no address and no network; write such as 10.0.0.7, 10.0.0.0/24 or fd00::/8"
            ) from None
    if not networks:
        raise ValueError("there is no address in it")
    return tuple(networks)
