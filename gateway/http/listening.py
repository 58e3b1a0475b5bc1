"""Opening the sockets for callers. Imports nothing heavy: the parent of several processes opens them, too."""

import asyncio
import socket
from typing import Final

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; Linux allows 4,096 by default."""


async def listen(host: str | None, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of a host. Raises OSError when an address cannot be used."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sockets.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
