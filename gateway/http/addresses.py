"""Addresses of callers."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that identify a caller: a single line is given at least a /64."""


def parse(address: str) -> IPv4Address | IPv6Address:
    """Parse an address as a socket reports it, without its zone. Mapped IPv4 becomes IPv4. Raises ValueError."""
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def network(address: IPv4Address | IPv6Address) -> str:
    """Return the addresses that one caller has: an IPv4 address itself, or the /64 of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    return f"{IPv6Address(int(address) >> _IPV6_PREFIX << _IPV6_PREFIX)}/{_IPV6_PREFIX}"
