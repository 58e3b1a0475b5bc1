"""Sends a webhook: one POST over TLS to an address that was checked, without redirects, proxies or cookies.

The connector resolves a name once and connects to what the resolver here returns, so no second look-up can answer
otherwise. It would not ask about an address in place of a name: gateway/webhooks/targets.py takes none.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.webhooks.addresses import is_allowed
from shared.proxies import Network

SEND_S: Final = 10.0
"""Seconds for one attempt, name, connection, TLS and answer together."""

LARGEST_HEADER: Final = 8190
"""Bytes of a line or header of the answer, of which nothing but the status is used."""


class Refused(Exception):
    """The attempt failed. Its text is the reason in words of ours, without anything of the URL or of the answer."""


class _Forbidden(OSError):
    """A name has an address that webhooks may not connect to."""


Resolve = Callable[[str, int, socket.AddressFamily], Awaitable[Sequence[tuple[Any, ...]]]]
"""Returns what socket.getaddrinfo does."""


async def _resolve(host: str, port: int, family: socket.AddressFamily) -> Sequence[tuple[Any, ...]]:
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)


class CheckedResolver(AbstractResolver):
    """Resolves names of which every address is allowed. networks: see is_allowed. resolve: asks the system."""

    def __init__(self, networks: Sequence[Network], resolve: Resolve = _resolve) -> None:
        self._networks = networks
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError if the name is unknown or any of its addresses is not allowed: one that is would be no reason
        to trust the name.
        """
        found = await self._resolve(host, port, family)
        addresses = [(kind, protocol, str(where[0])) for kind, _, protocol, _, where in found]
        if not addresses or not all(is_allowed(address, self._networks) for _, _, address in addresses):
            raise _Forbidden("an address is not allowed")
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=numeric)
            for kind, protocol, address in addresses
        ]

    async def close(self) -> None:
        pass


class Sender:
    """Sends webhooks. limit: connections at once. networks, resolve: see CheckedResolver. To be closed."""

    def __init__(self, limit: int, networks: Sequence[Network], resolve: Resolve = _resolve) -> None:
        connector = aiohttp.TCPConnector(
            limit=limit,
            resolver=CheckedResolver(networks, resolve),
            use_dns_cache=False,
            force_close=True,
            ssl=ssl.create_default_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=SEND_S),
            trust_env=False,
            auto_decompress=False,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
        )

    async def send(self, url: URL, body: bytes, headers: Mapping[str, str]) -> None:
        """POST the body. Raises Refused unless the answer is 2xx, whose body is not read."""
        try:
            response = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
            response.close()
        except TimeoutError:
            raise Refused("no answer in time") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Refused("the certificate is not valid for the host") from None
        except aiohttp.ClientConnectorError as error:
            forbidden = isinstance(error.os_error, _Forbidden)
            raise Refused("an address of the host is not allowed" if forbidden else "no connection") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise Refused("no valid answer") from None
        if not 200 <= response.status < 300:
            raise Refused(f"HTTP {response.status}")

    async def close(self) -> None:
        await self._session.close()
