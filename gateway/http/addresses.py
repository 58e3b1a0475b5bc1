"""Callers' addresses, and what one caller has of them."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that count as one: a single line is given that many addresses at least."""


def parsed(address: str) -> IPv4Address | IPv6Address:
    """An address as a socket tells it, without its zone; IPv4 also where it comes as IPv6. Raises ValueError."""
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def network(address: IPv4Address | IPv6Address) -> str:
    """What one caller has: the address, of IPv6 its /64."""
    if isinstance(address, IPv4Address):
        return str(address)
    return f"{IPv6Address(int(address) >> _IPV6_PREFIX << _IPV6_PREFIX)}/{_IPV6_PREFIX}"
