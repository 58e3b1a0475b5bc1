"""One connection of a caller, and what callers are told before any application sees their request.

Both are aiohttp's own, but late headers end the connection, refusals are the contract's JSON, and a connection ends in
a way that its caller notices:

- An answer that comes before its request is complete, or to a request that is none, says `Connection: close`. What
  still comes is thrown away, within bounds, until the caller closes too. If the connection were closed at once, it
  would be reset, and the answer would be lost on the way.
- A caller may close its own direction behind a request and still gets the answer.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, InvalidHeader, InvalidURLError, LineTooLong

from gateway.answers import answer
from gateway.bodies import BROKEN
from gateway.middleware import REQUEST_ID
from gateway.timeouts import Timeouts
from shared.contract import MESSAGES, Status
from shared.jobs import new_request_id

log = structlog.stdlib.get_logger(__name__)

_SENTENCES: Final[Sequence[tuple[type[BaseException], str]]] = (
    (LineTooLong, "the URL or a header is too long"),
    (BadHttpMethod, "request is not HTTP or its method is unknown"),
    (InvalidURLError, "the URL is malformed"),
    (InvalidHeader, "a header is malformed"),
)


def refused(http_status: int, sentence: str) -> web.Response:
    """The answer to what no application has seen."""
    response = answer(Status.INVALID_REQUEST, sentence, http_status)
    response.headers[REQUEST_ID] = new_request_id()
    return response


class Connection(web.RequestHandler):
    """A connection, with a time-out for the headers of each request.

    _last_body: of the request that came last. _broken: what comes is no HTTP any more. _half_closed: nothing comes any
    more. _ending: the transport, once the last answer is sent and all that still comes is thrown away; since when, how
    many bytes of it, and the timer that ends it.
    """

    __slots__ = (
        "_broken",
        "_ending",
        "_ending_since",
        "_ending_size",
        "_ending_timer",
        "_half_closed",
        "_header_timer",
        "_last_body",
        "_timeouts",
    )

    def __init__(self, server: web.Server, *, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=timeouts.idle_s,
            lingering_time=0,  # aiohttp's own says nothing of closing, and resets: see _end
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log, as AppRunner documents
            auto_decompress=False,  # bodies that are compressed are refused, see gateway/bodies.py
        )
        self._timeouts = timeouts
        self._header_timer: asyncio.TimerHandle | None = None
        self._last_body: StreamReader | None = None
        self._broken = False
        self._half_closed = False
        self._ending: asyncio.Transport | None = None
        self._ending_since = 0.0
        self._ending_size = 0
        self._ending_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self._ending is not None:
            self._ending_size += len(data)
            if self._ending_size > self._timeouts.linger_bytes:
                self._ending.close()
            return
        super().data_received(data)
        if self._messages:
            self._last_body = self._messages[-1][1]
        self._end_broken_body()
        # Still waiting for a request after some of its bytes: its headers have begun and not ended.
        if self._waiter is None or self._waiter.done():
            self._forget_headers()
        elif self._header_timer is None:
            self._await_headers()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's own always closes
        """Whether the connection stays open in the other direction: while a request is being answered."""
        if self._ending is not None or (self._waiter is not None and not self._waiter.done()):
            return False
        self._half_closed = True
        self._close = not self._messages  # with the answer that is on its way, or that of the last in line
        if self._last_body is not None:
            _break_off(self._last_body, "the body ended too early")
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_headers()
        if self._ending_timer is not None:
            self._ending_timer.cancel()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 -- aiohttp's signature
        await super().shutdown(timeout)
        if self._ending is not None:
            self._ending.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; it says so when the connection ends with it."""
        complete = await self._arrived(request)
        if self._half_closed and not self._messages:
            self._close = True
        if self._close or not complete:
            resp.force_close()
        resp, left = await super().finish_response(request, resp, start_time)
        if not complete and not left:
            self._end()
        return resp, left

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- aiohttp's own text quotes the caller's bytes
    ) -> web.StreamResponse:
        """Raises ConnectionError, as aiohttp's own, when part of another answer is already sent."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is already sent")
        response: web.Response
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_crashed", path=request.path, exc_info=exc)
            response = answer(Status.FAIL, MESSAGES[Status.FAIL])
        else:
            log.debug("request_malformed", error=type(exc).__name__)
            found = (sentence for kind, sentence in _SENTENCES if isinstance(exc, kind))
            response = refused(status, next(found, "request is not valid HTTP/1.1"))
        self._broken = True
        response.headers["Connection"] = "close"  # aiohttp answers as HTTP/1.0, which would mean the same
        return response

    async def _arrived(self, request: web.BaseRequest) -> bool:
        """Whether all of a request has arrived, or does so at once, so that the connection can be kept."""
        body = request.content
        if self._broken or body.is_eof():
            return not self._broken
        # Whoever was not asked for the body may leave it out, and who closes anyway need not wait.
        if not request.keep_alive or ("Expect" in request.headers and body.total_bytes == 0):
            return False
        most = body.total_bytes + self._timeouts.linger_bytes
        try:
            async with asyncio.timeout(self._timeouts.settle_s):
                async for _ in body.iter_any():
                    if body.total_bytes > most:
                        return False
        except (TimeoutError, *BROKEN):
            return False
        return not self._broken

    def _end(self) -> None:
        """The last answer is sent: close this direction, and wait for the caller to close the other."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._half_closed:
            return
        self._forget_headers()
        self.transport = None  # nothing else may close it
        self.force_close()
        self._ending, self._ending_since = transport, self._loop.time()
        with suppress(OSError, RuntimeError):  # the caller is gone already
            transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """Close when what still comes is late, by the rules for a body, else look again when it would be."""
        if self._ending is None:
            return
        allowed = self._timeouts.body_grace_s + self._ending_size / self._timeouts.body_rate
        end = self._ending_since + min(allowed, self._timeouts.linger_s)
        if end <= self._loop.time():
            self._ending.close()
        else:
            self._ending_timer = self._loop.call_at(end, self._end_in_time)

    def _end_broken_body(self) -> None:
        """When chunks turn out to be none while they are read, aiohttp queues the error and lets the reader wait."""
        request = self._current_request
        if request is None or not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        if not request.content.is_eof():
            self._broken = True
            _break_off(request.content, "transfer encoding is broken")
            self.close()

    def _await_headers(self) -> None:
        self._header_timer = self._loop.call_later(self._timeouts.header_s, self._headers_late)

    def _forget_headers(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        if self.transport is not None and self._waiter is not None and not self._waiter.done():
            self.transport.write(_late_answer())
            self._end()


def _break_off(body: StreamReader, why: str) -> None:
    """Let whoever reads a body know that no more of it comes. Nothing, when all of it is there."""
    if not body.is_eof():
        body.set_exception(web.RequestPayloadError(why))
        body.feed_eof()  # there is nothing to wait for once it is answered


def _late_answer() -> bytes:
    """Complete HTTP, since there is no request that aiohttp could answer."""
    response = refused(HTTPStatus.REQUEST_TIMEOUT, "headers took too long to arrive")
    body: Any = response.body
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = f"HTTP/1.1 408 Request Timeout\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + bytes(body)
