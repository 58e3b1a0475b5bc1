"""Reading a body: bounded in bytes, in time and in rate, whatever its sender does."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import HttpVersion11, web

from gateway.http.framing import BODY_BROKEN
from gateway.http.timeouts import TIMEOUTS, Timeouts
from shared.errors import BodyUnreadable

_UNASKED: Final = web.RequestKey("unasked", bool)
"""Whether the caller waits to be asked for the body."""


async def defer_continue(request: web.Request) -> None:
    """What a route does about the header Expect: the body is asked for when somebody reads it, so that a caller who is
    refused before does not send it. Raises HTTPExpectationFailed when something else is expected.
    """
    if request.version >= HttpVersion11:
        if request.headers.get("Expect", "").lower() != "100-continue":
            raise web.HTTPExpectationFailed
        request[_UNASKED] = True


async def read_body(request: web.Request, limit: int) -> bytes:
    """The body. One of more than `limit` bytes comes cut off, but longer than `limit`. Raises as `receive`."""
    body = bytearray()
    await receive(request, limit, body.extend)
    return bytes(body)


async def receive(request: web.Request, limit: int, take: Callable[[bytes], None]) -> int:
    """Hand over the body piece by piece as it arrives, and say how many bytes it was. One of more than `limit` bytes
    comes cut off, but longer than `limit`: nothing past it is read.

    Raises BodyUnreadable when it is compressed, too slow, broken off or wrongly framed, and what `take` raises.
    """
    _require_plain(request)
    if request.pop(_UNASKED, False):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
    timeouts = request.app.get(TIMEOUTS) or Timeouts()
    size = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + timeouts.body_grace_s) as timeout:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                take(chunk)
                if size > limit:
                    break
                allowed = timeouts.body_grace_s + size / timeouts.body_rate
                timeout.reschedule(start + min(allowed, timeouts.body_s))
    except TimeoutError:
        raise BodyUnreadable("body took too long to arrive") from None
    except BODY_BROKEN:
        raise BodyUnreadable("body ended too early or its transfer encoding is broken") from None
    return size


def _require_plain(request: web.Request) -> None:
    """Compressed bodies are refused, not inflated: images are compressed already, and 8 kB can inflate to 8 MB."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        if request.headers.get(header, plain).strip().lower() not in ("", plain):
            raise BodyUnreadable(f"{header} must be {plain} or left out; send the body uncompressed")
