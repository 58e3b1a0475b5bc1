"""Reading a body with bounds on its size, duration and rate."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import HttpVersion11, web

from gateway.http.framing import BODY_BROKEN
from gateway.http.timeouts import TIMEOUTS, Timeouts
from shared.errors import BodyUnreadable

_AWAITS_CONTINUE: Final = web.RequestKey("awaits_continue", bool)
"""Whether the caller waits for 100 Continue before it sends the body."""


async def defer_continue(request: web.Request) -> None:
    """Handle the Expect header of a route: 100 Continue is sent when the body is read, so that a caller that is refused
    before does not send it. Raises HTTPExpectationFailed for any other expectation.
    """
    if request.version >= HttpVersion11:
        if request.headers.get("Expect", "").lower() != "100-continue":
            raise web.HTTPExpectationFailed
        request[_AWAITS_CONTINUE] = True


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the body, cut off somewhere past `limit` bytes if it is longer. Raises as `receive`."""
    body = bytearray()
    await receive(request, limit, body.extend)
    return bytes(body)


async def receive(request: web.Request, limit: int, take: Callable[[bytes], None]) -> int:
    """Pass the body to `take` piece by piece as it arrives. Returns its size in bytes; reading stops with the piece
    that exceeds `limit`.

    Raises BodyUnreadable for a body that is compressed, too slow, cut off or wrongly framed, and whatever `take`
    raises.
    """
    _require_plain(request)
    if request.pop(_AWAITS_CONTINUE, False):
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
                if not request.content.is_eof():  # there is more to wait for
                    allowed = timeouts.body_grace_s + size / timeouts.body_rate
                    timeout.reschedule(start + min(allowed, timeouts.body_s))
    except TimeoutError:
        raise BodyUnreadable("body took too long to arrive") from None
    except BODY_BROKEN:
        raise BodyUnreadable("body ended too early or its transfer encoding is broken") from None
    return size


def _require_plain(request: web.Request) -> None:
    """Refuse a compressed body with BodyUnreadable: images are compressed already, and 8 kB can inflate to 8 MB."""
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        if request.headers.get(header, plain).strip().lower() not in ("", plain):
            raise BodyUnreadable(f"{header} must be {plain} or left out; send the body uncompressed")
