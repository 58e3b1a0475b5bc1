"""One connection of a caller, and what callers are told before any application sees their request.

Both are aiohttp's own, but late headers end the connection, and refusals are the contract's JSON.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, InvalidHeader, InvalidURLError, LineTooLong

from gateway.answers import answer
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
    """A connection, with a time-out for the headers of each request."""

    __slots__ = ("_header_s", "_header_timer")

    def __init__(self, server: web.Server, *, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=timeouts.idle_s,
            lingering_time=timeouts.linger_s,
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log, as AppRunner documents
            auto_decompress=False,  # bodies that are compressed are refused, see gateway/bodies.py
        )
        self._header_s = timeouts.header_s
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._end_broken_body()
        # Still waiting for a request after some of its bytes: its headers have begun and not ended.
        if self._waiter is None or self._waiter.done():
            self._forget_headers()
        elif self._header_timer is None:
            self._await_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_headers()
        super().connection_lost(exc)

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
        response.force_close()
        return response

    def _end_broken_body(self) -> None:
        """When chunks turn out to be none while they are read, aiohttp queues the error and lets the reader wait."""
        request = self._current_request
        if request is None or not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        if not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("transfer encoding is broken"))
            request.content.feed_eof()  # there is nothing to wait for once it is answered
            self.close()

    def _await_headers(self) -> None:
        self._header_timer = self._loop.call_later(self._header_s, self._headers_late)

    def _forget_headers(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        if self.transport is not None and self._waiter is not None and not self._waiter.done():
            self.transport.write(_late_answer())
            self.force_close()


def _late_answer() -> bytes:
    """Complete HTTP, since there is no request that aiohttp could answer."""
    response = refused(HTTPStatus.REQUEST_TIMEOUT, "headers took too long to arrive")
    body: Any = response.body
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = f"HTTP/1.1 408 Request Timeout\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + bytes(body)
