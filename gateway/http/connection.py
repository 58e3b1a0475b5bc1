"""The protocol of one connection of a caller, and the answers to requests that no application sees.

Both are aiohttp's own, but late headers end the connection, refusals are the contract's JSON, and a connection ends so
that its caller gets the last answer:

- An answer to a request that is incomplete or malformed says `Connection: close`, and the connection lingers: further
  bytes are discarded, within bounds, until the caller closes too. If the connection were closed at once, it would
  be reset, and the answer would be lost.
- A caller may close its own direction after a request and still gets the answer.
- A caller that does not read its answer, or sends a body in tiny chunks, is cut off.
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
"""Most bytes of an incomplete request line with headers, as in nginx. With aiohttp's own limits a connection could hold
1 MB of them."""

_VERSIONS: Final = (HttpVersion10, HttpVersion11)


def refusal(http_status: int, sentence: str) -> web.Response:
    """Return the answer to a request that no application sees."""
    response = answer(Status.INVALID_REQUEST, sentence, http_status)
    response.headers[REQUEST_ID] = new_request_id()
    return response


def serialize(response: web.Response) -> bytes:
    """Return the bytes of an answer that ends its connection, for use where aiohttp has no request to answer."""
    body: Any = response.body
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    status = f"HTTP/1.1 {response.status} {response.reason}\r\n"
    return f"{status}{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + bytes(body)


def unsupported(request: web.BaseRequest) -> web.Response | None:
    """Return the answer to a CONNECT request or to one of another HTTP version, None for any other. Whatever follows
    such a request on its connection cannot be trusted to be a request.
    """
    if request._version not in _VERSIONS:  # noqa: SLF001 -- `version` is kept once it is read, see finish_response
        return refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP version must be 1.1 or 1.0")
    if request.method == hdrs.METH_CONNECT:
        return refusal(HTTPStatus.BAD_REQUEST, "CONNECT asks for a tunnel, and this is no proxy")
    return None


class Connection(web.RequestHandler):
    """A connection with time limits for the headers of each request and for the reading of each answer. It reports to
    `connections` whether one of its requests is being handled.

    _last_body: body of the last request. _broken: the bytes received are not HTTP any more. _half_closed: the caller
    has closed its direction. _head_size: bytes of a request whose headers are incomplete. _lingering: the transport,
    once the last answer is sent and all that is still received is thrown away; _linger_start: since when, by the loop's
    clock; _linger_size: how many bytes so far; _linger_timer: ends it.
    """

    __slots__ = (
        "_broken",
        "_connections",
        "_framing",
        "_half_closed",
        "_head_size",
        "_header_timer",
        "_last_body",
        "_linger_size",
        "_linger_start",
        "_linger_timer",
        "_lingering",
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
            lingering_time=0,  # aiohttp's own says nothing of closing, and resets: see _linger
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
        self._lingering: asyncio.Transport | None = None
        self._linger_start = 0.0
        self._linger_size = 0
        self._linger_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self._reader_guard = SlowReaderGuard(
                self.transport, self._timeouts, self._connections.counts.dropped_slow.inc
            )
        self._connections.set_idle(self)
        self._start_header_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_guard is not None:
            self._reader_guard.start()

    def resume_writing(self) -> None:
        if self._reader_guard is not None:
            self._reader_guard.stop()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            self._linger_size += len(data)
            if self._linger_size > self._timeouts.linger_bytes:
                self._lingering.close()
            return
        super().data_received(data)
        if self._messages:
            self._last_body = self._messages[-1][1]
            self._connections.set_busy(self)
        self._fail_broken_body()
        self._fail_small_chunks(len(data))
        # Still waiting for a request after some of its bytes: its headers have begun and not ended.
        if self._waiter is None or self._waiter.done():
            self._stop_header_timer()
            self._head_size = 0
            return
        self._head_size += len(data)
        if self._head_size > MAX_HEAD_BYTES:
            self._refuse_head(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers are larger than 32 KiB")
        elif self._header_timer is None:
            self._start_header_timer()
            self._connections.set_idle(self)  # from now on: until here it was between two requests

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's own always closes
        """Return whether the connection stays open in the other direction, as it does while a request is being
        answered.
        """
        if self._lingering is not None or (self._waiter is not None and not self._waiter.done()):
            return False
        self._half_closed = True
        self._close = not self._messages  # after the present answer, or that of the last pipelined request
        if self._last_body is not None:
            _fail(self._last_body, "the body ended too early")
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.remove(self)
        if self._reader_guard is not None:
            self._reader_guard.stop()
        self._stop_header_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 -- aiohttp's signature
        await super().shutdown(timeout)
        if self._lingering is not None:
            self._lingering.close()

    def drop(self) -> None:
        """Close the connection at once; called while none of its requests is being handled."""
        transport = self._lingering or self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, with `Connection: close` if the connection ends after it."""
        if unsupported(request) is not None:
            self._broken = self._close = True
            self._message_tail = b""  # aiohttp would read it as the next request
            request._version = HttpVersion11  # noqa: SLF001 -- aiohttp would answer in the version that is not served
        complete = await self._is_complete(request)
        if self._half_closed and not self._messages:
            self._close = True
        if self._close or not complete:
            resp.force_close()
        resp, left = await super().finish_response(request, resp, start_time)
        if not complete and not left:
            self._linger()
        elif not self._messages:
            self._connections.set_idle(self)
        return resp, left

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- aiohttp's own text quotes the caller's bytes
    ) -> web.StreamResponse:
        """Return the answer to a request that crashed or is malformed. Raises ConnectionError, as aiohttp's own, when
        part of another answer is already sent.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is already sent")
        response: web.Response
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_crashed", path=request.path, exc_info=exc)
            response = answer(Status.FAIL, MESSAGES[Status.FAIL])
        else:
            log.debug("request_malformed", error=type(exc).__name__)
            found = (sentence for kind, sentence in _SENTENCES if isinstance(exc, kind))
            response = refusal(status, next(found, "request is not valid HTTP/1.1"))
        self._broken = True
        response.headers["Connection"] = "close"  # aiohttp answers as HTTP/1.0, which would mean the same
        return response

    async def _is_complete(self, request: web.BaseRequest) -> bool:
        """Return whether the whole request is received, or is within settle_s, so that the connection can be kept."""
        body = request.content
        if self._broken or body.is_eof():
            return not self._broken
        # A caller that was not asked for the body may leave it out, and one that closes anyway need not wait.
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

    def _linger(self) -> None:
        """After the last answer: close this direction, and wait for the caller to close the other."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._half_closed:
            return
        self._stop_header_timer()
        self.transport = None  # nothing else may close it
        self.force_close()
        self._lingering, self._linger_start = transport, self._loop.time()
        self._connections.set_idle(self)
        with suppress(OSError, RuntimeError):  # the caller has left already
            transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()
        self._close_or_linger_on()

    def _close_or_linger_on(self) -> None:
        """Close if the caller sends too slowly, by the rules for a body, else check again when it would be too late."""
        if self._lingering is None:
            return
        allowed = self._timeouts.body_grace_s + self._linger_size / self._timeouts.body_rate
        end = self._linger_start + min(allowed, self._timeouts.linger_s)
        if end <= self._loop.time():
            self._lingering.close()
        else:
            self._linger_timer = self._loop.call_at(end, self._close_or_linger_on)

    def _fail_broken_body(self) -> None:
        """Fail a body whose chunks are malformed: aiohttp queues the error and would let the body's reader wait."""
        request = self._current_request
        if request is None or not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        if not request.content.is_eof():
            self._broken = True
            _fail(request.content, "transfer encoding is broken")
            self.close()

    def _fail_small_chunks(self, size: int) -> None:
        """Fail a body with too much framing. Skipped while reading is paused, since not everything is parsed then."""
        body = None if self._last_body is None or self._last_body.is_eof() else self._last_body
        self._framing.receive(body, size)
        if body is not None and not self._reading_paused and self._framing.is_excessive:
            self._broken = True
            body.set_exception(BodyUnreadable("chunks of the body are too small; send 48 bytes or more in each"))
            body.feed_eof()
            self.close()

    def _start_header_timer(self) -> None:
        self._header_timer = self._loop.call_later(self._timeouts.header_s, self._on_header_timeout)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _on_header_timeout(self) -> None:
        self._header_timer = None
        if self.transport is not None and self._waiter is not None and not self._waiter.done():
            self._refuse_head(HTTPStatus.REQUEST_TIMEOUT, "headers took too long to arrive")

    def _refuse_head(self, http_status: int, sentence: str) -> None:
        if self.transport is not None:
            self.transport.write(serialize(refusal(http_status, sentence)))
            self._linger()


def _fail(body: StreamReader, why: str) -> None:
    """Make reading a body raise RequestPayloadError, unless all of it has been received."""
    if not body.is_eof():
        body.set_exception(web.RequestPayloadError(why))
        body.feed_eof()  # nothing more is waited for after the answer
