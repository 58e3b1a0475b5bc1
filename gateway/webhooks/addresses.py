"""Which addresses webhooks may connect to: those of the public internet, and networks that the operator allows.

Whatever a name resolves to, by mistake or on purpose, a webhook must be no way into the operator's network. `is_global`
of the standard library follows IANA's registries of special-purpose addresses; multicast is global there, and some
addresses of IPv6 stand for one of IPv4, which a router or a translator connects to.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from shared.proxies import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""Global unicast addresses of IPv6 (RFC 4291): without those that contain one of IPv4 (mapped, compatible, NAT64)."""

_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.88.99.0/24",  # anycast of 6to4 relays (RFC 7526)
            "2001::/23",  # IETF protocols, Teredo among them (RFC 2928, RFC 4380)
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: contains an address of IPv4 (RFC 3056)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""What is left of the registries where a release of Python takes it for global."""


def is_allowed(text: str, networks: Sequence[Network]) -> bool:
    """Return whether a webhook may connect to an address, as a resolver returns it. networks: of the operator, allowed
    whatever they are; an address of IPv4 in one of IPv6 is looked for in them as itself, too.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if any(address in network or (mapped is not None and mapped in network) for network in networks):
        return True
    return _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id is not None or address not in _UNICAST):
        return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in _SPECIAL)
    )
