"""One connection of a caller, and what callers are told before any application sees their request.

Both are aiohttp's own, but late headers end the connection, refusals are the contract's JSON, and a connection ends in
a way that its caller notices:

- An answer that comes before its request is complete, or to a request that is none, says `Connection: close`. What
  still comes is thrown away, within bounds, until the caller closes too. If the connection were closed at once, it
  would be reset, and the answer would be lost on the way.
- A caller may close its own direction behind a request and still gets the answer.
- A caller that does not take its answer, and one that frames a body in chunks of next to nothing, are not waited for.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, InvalidHeader, InvalidURLError, LineTooLong

from gateway.http.answers import answer
from gateway.http.connections import Connections
from gateway.http.framing import BODY_BROKEN, Framing
from gateway.http.headers import REQUEST_ID
from gateway.http.slow_readers import SlowReaderGuard
from gateway.http.timeouts import Timeouts
from shared.contract import MESSAGES, Status
from shared.errors import BodyUnreadable
from shared.jobs import new_request_id

log = structlog.stdlib.get_logger(__name__)

_SENTENCES: Final[Sequence[tuple[type[BaseException], str]]] = (
    (LineTooLong, "the URL or a header is too long"),
    (BadHttpMethod, "request is not HTTP or its method is unknown"),
    (InvalidURLError, "the URL is malformed"),
    (InvalidHeader, "a header is malformed"),
)


MAX_HEAD_BYTES: Final = 32 * 1024
"""Of a request line and headers, for as long as they are not complete: nginx takes as much. By the bounds of aiohttp
alone a connection could hold 1 MB of them."""

_VERSIONS: Final = (HttpVersion10, HttpVersion11)


def refused(http_status: int, sentence: str) -> web.Response:
    """The answer to what no application has seen."""
    response = answer(Status.INVALID_REQUEST, sentence, http_status)
    response.headers[REQUEST_ID] = new_request_id()
    return response


def as_bytes(response: web.Response) -> bytes:
    """An answer that ends its connection, as it is sent where there is no request that aiohttp could answer."""
    body: Any = response.body
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    status = f"HTTP/1.1 {response.status} {response.reason}\r\n"
    return f"{status}{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + bytes(body)


def not_served(request: web.BaseRequest) -> web.Response | None:
    """The answer to a request that is HTTP, but of a kind after which nothing on its connection can be trusted to be a
    request: one for a tunnel, behind which come another protocol's bytes, and one of a version that frames differently.
    """
    if request._version not in _VERSIONS:  # noqa: SLF001 -- `version` is kept once it is read, see finish_response
        return refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP version must be 1.1 or 1.0")
    if request.method == hdrs.METH_CONNECT:
        return refused(HTTPStatus.BAD_REQUEST, "CONNECT asks for a tunnel, and this is no proxy")
    return None


class Connection(web.RequestHandler):
    """A connection, with a time-out for the headers of each request and for the taking of each answer. It tells
    `connections` whether a request of it is being handled.

    _last_body: of the request that came last. _broken: what comes is no HTTP any more. _half_closed: nothing comes any
    more. _ending: the transport, once the last answer is sent and all that still comes is thrown away; since when, how
    many bytes of it, and the timer that ends it. _head_size: bytes of a request whose headers are not complete.
    """

    __slots__ = (
        "_broken",
        "_connections",
        "_ending",
        "_ending_since",
        "_ending_size",
        "_ending_timer",
        "_framing",
        "_half_closed",
        "_head_size",
        "_header_timer",
        "_last_body",
        "_reader_guard",
        "_timeouts",
    )

    def __init__(
        self, server: web.Server, *, loop: asyncio.AbstractEventLoop, timeouts: Timeouts, connections: Connections
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=timeouts.idle_s,
            lingering_time=0,  # aiohttp's own says nothing of closing, and resets: see _end
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log, as AppRunner documents
            auto_decompress=False,  # bodies that are compressed are refused, see gateway/body/reading.py
        )
        self._timeouts = timeouts
        self._connections = connections
        self._reader_guard: SlowReaderGuard | None = None
        self._framing = Framing()
        self._head_size = 0
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
        if self.transport is not None:
            self._reader_guard = SlowReaderGuard(
                self.transport, self._timeouts, self._connections.counts.dropped_slow.inc
            )
        self._connections.waits(self)
        self._await_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_guard is not None:
            self._reader_guard.begin()

    def resume_writing(self) -> None:
        if self._reader_guard is not None:
            self._reader_guard.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._ending is not None:
            self._ending_size += len(data)
            if self._ending_size > self._timeouts.linger_bytes:
                self._ending.close()
            return
        super().data_received(data)
        if self._messages:
            self._last_body = self._messages[-1][1]
            self._connections.works(self)
        self._end_broken_body()
        self._end_body_of_chunks(len(data))
        # Still waiting for a request after some of its bytes: its headers have begun and not ended.
        if self._waiter is None or self._waiter.done():
            self._forget_headers()
            self._head_size = 0
            return
        self._head_size += len(data)
        if self._head_size > MAX_HEAD_BYTES:
            self._refuse_head(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers are larger than 32 KiB")
        elif self._header_timer is None:
            self._await_headers()
            self._connections.waits(self)  # anew: it is not idle any more

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
        self._connections.remove(self)
        if self._reader_guard is not None:
            self._reader_guard.end()
        self._forget_headers()
        if self._ending_timer is not None:
            self._ending_timer.cancel()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 -- aiohttp's signature
        await super().shutdown(timeout)
        if self._ending is not None:
            self._ending.close()

    def give_up(self) -> None:
        """Close it, while no request of it is being handled."""
        transport = self._ending or self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; it says so when the connection ends with it."""
        if not_served(request) is not None:
            self._broken = self._close = True
            self._message_tail = b""  # aiohttp would read it as the next request
            request._version = HttpVersion11  # noqa: SLF001 -- aiohttp would answer in the version that is not served
        complete = await self._arrived(request)
        if self._half_closed and not self._messages:
            self._close = True
        if self._close or not complete:
            resp.force_close()
        resp, left = await super().finish_response(request, resp, start_time)
        if not complete and not left:
            self._end()
        elif not self._messages:
            self._connections.waits(self)
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
        except (TimeoutError, BodyUnreadable, *BODY_BROKEN):
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
        self._connections.waits(self)
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

    def _end_body_of_chunks(self, size: int) -> None:
        """When hardly any of what comes for a body is the body. What has not been parsed yet is not judged."""
        body = None if self._last_body is None or self._last_body.is_eof() else self._last_body
        self._framing.receive(body, size)
        if body is not None and not self._reading_paused and self._framing.is_excessive:
            self._broken = True
            body.set_exception(BodyUnreadable("chunks of the body are too small; send 48 bytes or more in each"))
            body.feed_eof()
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
            self._refuse_head(HTTPStatus.REQUEST_TIMEOUT, "headers took too long to arrive")

    def _refuse_head(self, http_status: int, sentence: str) -> None:
        if self.transport is not None:
            self.transport.write(as_bytes(refused(http_status, sentence)))
            self._end()


def _break_off(body: StreamReader, why: str) -> None:
    """Let whoever reads a body know that no more of it comes. Nothing, when all of it is there."""
    if not body.is_eof():
        body.set_exception(web.RequestPayloadError(why))
        body.feed_eof()  # there is nothing to wait for once it is answered
