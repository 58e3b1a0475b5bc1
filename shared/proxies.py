"""Proxies that are known: a list of addresses and networks."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str) -> Sequence[Network]:
    """The networks of a list with commas or spaces between them; an address is a network of one.

    Raises ValueError, in a sentence that quotes nothing, when one is none.
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
