"""The server on real sockets, with applications of a few lines: slow senders, malformed HTTP, sites, the end."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway import uploads
from gateway.answers import answer
from gateway.middleware import errors, request_id
from gateway.routes import ready
from gateway.server import Site, serve
from gateway.timeouts import Timeouts
from shared.contract import Status

FAST = Timeouts(header_s=0.2, body_s=0.6, body_grace_s=0.2, body_rate=1_000_000, idle_s=0.4, linger_s=0.1)
HEAD = b"POST /v1/addface HTTP/1.1\r\nHost: h\r\n"
FORM = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"

MALFORMED = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: h\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\nHost: h\r\n\r\n",
    "long URL": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(300)) + b"\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "URL that is no UTF-8": b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    "URL without a host": FORM.replace(b"/v1/addface", b"http://[::/") + b"\r\n",
    "length that is no number": FORM + b"Content-Length: abc\r\n\r\n",
    "negative length": FORM + b"Content-Length: -1\r\n\r\n",
    "two lengths": FORM + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nimg=a",
    "length and chunks": FORM + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two types": FORM + b"Content-Type: application/json\r\nContent-Length: 0\r\n\r\n",
    "gzip as transfer encoding": FORM + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "unknown transfer encoding": FORM + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk size that is none": FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nimg=a\r\n0\r\n\r\n",
    "chunk longer than its size": FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nimg=aXX0\r\n\r\n",
    "enormous chunk": FORM + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nimg=a\r\n0\r\n\r\n",
    "unknown expectation": FORM + b"Expect: more\r\nContent-Length: 0\r\n\r\n",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def parse(request: web.Request) -> web.Response:
    given = await uploads.read(request, "img")
    return answer(Status.OK, {"img": len(given.images.get("img", b""))})


async def crash(_request: web.Request) -> web.Response:
    raise RuntimeError("a secret")


def application(handler: Handler = parse, *, bare: bool = False) -> web.Application:
    app = web.Application(middlewares=[] if bare else [request_id, errors])
    app.router.add_post("/v1/addface", handler)
    return app


@asynccontextmanager
async def serving(
    *apps: web.Application, timeouts: Timeouts = FAST, drain_s: float = 0
) -> AsyncIterator[tuple[asyncio.Event, list[int]]]:
    """Yields what stops it, and the ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in apps]
    stop = asyncio.Event()
    sites = [Site(app, sock=listening) for app, listening in zip(apps, sockets, strict=True)]
    task = asyncio.create_task(serve(sites, stop, timeouts, drain_s=drain_s))
    try:
        yield stop, [listening.getsockname()[1] for listening in sockets]
    finally:
        stop.set()
        await task


async def talk(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back for the pieces, up to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answered = await reader.read()
    writer.close()
    return answered


def message(answered: bytes) -> str:
    """The message of the one answer, which must be the contract's JSON."""
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head, answered
    assert b"X-Request-Id: " in head
    document = json.loads(body)
    assert document["status"] == "INVALID_REQUEST"
    return document["message"]


CLOSE = b"Connection: close\r\n"


class TestSlowSenders:
    @pytest.mark.parametrize("beginning", [b"", b"P", HEAD, FORM + b"X: "])
    async def test_headers_that_do_not_come(self, beginning: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, beginning)
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert message(answered) == "headers took too long to arrive"

    async def test_a_trickle_of_headers_does_not_help(self) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD)
            answered = asyncio.create_task(reader.read())
            while not answered.done():
                writer.write(b"X: y\r\n")
                await asyncio.wait([answered], timeout=0.02)
            writer.close()
        assert answered.result().startswith(b"HTTP/1.1 408 ")

    async def test_headers_of_a_later_request(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 5\r\n\r\nimg=a" + HEAD)
        first, _, second = answered.partition(b"HTTP/1.1 408 ")
        assert b'"OK"' in first
        assert b"headers took too long" in second or not second  # or the idle connection's own end came first

    async def test_a_connection_between_requests_ends_silently(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 5\r\n\r\nimg=a")
        assert answered.count(b"HTTP/1.1") == 1
        assert b'"OK"' in answered

    async def test_a_body_that_does_not_come(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 500\r\n\r\nimg=a")
        assert message(answered) == "body took too long to arrive"

    @pytest.mark.parametrize("framing", [b"Content-Length: 500000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
    async def test_a_trickle_of_a_body_does_not_help(self, framing: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(FORM + framing)
            answered = asyncio.create_task(reader.read())
            while not answered.done():
                writer.write(b"1\r\na\r\n")
                await asyncio.wait([answered], timeout=0.02)
            writer.close()
        assert message(answered.result()) == "body took too long to arrive"

    async def test_a_body_that_is_fast_enough_may_take_its_time(self) -> None:
        patient = Timeouts(header_s=1, body_s=30, body_grace_s=1, body_rate=1000, idle_s=1, linger_s=0.1)
        async with serving(application(), timeouts=patient) as (_, (port,)):
            pieces = [b"img=", *[b"a" * 1000] * 20]
            answered = await talk(port, FORM + CLOSE + b"Content-Length: 20004\r\n\r\n", *pieces)
        assert b'"img": 20000' in answered


class TestMalformed:
    @pytest.mark.parametrize("name", MALFORMED)
    async def test_it_is_refused_in_json(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(application()) as (_, (port,)):
            assert message(await talk(port, MALFORMED[name]))
        assert "Traceback" not in caplog.text

    async def test_a_chunk_that_breaks_while_the_body_is_read(self) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(FORM + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.readuntil(b"100 Continue\r\n\r\n")  # the body is being read now
            writer.write(b"zz\r\n")
            answered = await reader.read()
            writer.close()
        assert "broken" in message(answered)

    async def test_a_caller_that_hangs_up_leaves_no_trace(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(application()) as (_, (port,)):
            for ending in (b"", b"img=a", b"\r\n"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(FORM + b"Content-Length: 50\r\n\r\n" + ending)
                await writer.drain()
                writer.transport.abort()
        assert "Traceback" not in caplog.text

    async def test_the_text_of_an_exception_stays_here(self) -> None:
        async with serving(application(crash, bare=True)) as (_, (port,)):
            answered = await talk(port, FORM + b"Accept: text/html\r\nContent-Length: 0\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 503 ")
        assert b'"FAIL"' in answered
        assert b"secret" not in answered


class TestEncodings:
    @pytest.mark.parametrize(
        "header", [b"Content-Encoding: gzip", b"Content-Encoding: br", b"Transfer-Encoding: gzip, chunked"]
    )
    async def test_compressed_bodies_are_refused_and_not_inflated(self, header: bytes) -> None:
        framing = b"" if b"chunked" in header else b"Content-Length: 0\r\n"
        body = b"0\r\n\r\n" if b"chunked" in header else b""
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + CLOSE + header + b"\r\n" + framing + b"\r\n" + body)
        assert "uncompressed" in message(answered)


class TestSites:
    async def test_two_applications_on_two_sockets(self) -> None:
        async def other(_request: web.Request) -> web.Response:
            return answer(Status.OK, "other")

        async with serving(application(), application(other)) as (_, (first, second)):
            request = FORM + CLOSE + b"Content-Length: 5\r\n\r\nimg=a"
            assert b'"img": 1' in await talk(first, request)
            assert b'"other"' in await talk(second, request)

    async def test_requests_in_flight_finish_and_idle_connections_close(self) -> None:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def slow(_request: web.Request) -> web.Response:
            begun.set()
            await finish.wait()
            return answer(Status.OK, "finished")

        patient = Timeouts(idle_s=60, header_s=60)
        async with serving(application(slow), timeouts=patient) as (stop, (port,)):
            idle = asyncio.create_task(talk(port))
            working = asyncio.create_task(talk(port, FORM + b"Content-Length: 0\r\n\r\n"))
            await begun.wait()
            stop.set()
            assert await idle == b""
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", port)
            finish.set()
            assert b'"finished"' in await working

    async def test_what_one_site_opened_is_closed_when_another_cannot_start(self) -> None:
        closed = asyncio.Event()

        async def resources(_app: web.Application) -> AsyncIterator[None]:
            yield
            closed.set()

        async def failing(_app: web.Application) -> None:
            raise OSError("nothing there")

        first, second = application(), application()
        first.cleanup_ctx.append(resources)
        second.on_startup.append(failing)
        with pytest.raises(OSError, match="nothing there"):
            async with asyncio.timeout(10):
                await serve([Site(first, "127.0.0.1"), Site(second, "127.0.0.1")], asyncio.Event(), FAST)
        assert closed.is_set()


class TestDraining:
    async def test_told_to_stop_it_is_not_ready_but_still_answers_and_then_goes(self) -> None:
        app = application()
        app.router.add_get("/readyz", ready)
        async with serving(app, drain_s=1) as (stop, (port,)):
            stop.set()
            readiness = await talk(port, b"GET /readyz HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n")
            assert readiness.startswith(b"HTTP/1.1 503 ")
            assert b"is stopping" in readiness
            answered = await talk(port, FORM + CLOSE + b"Content-Length: 5\r\n\r\nimg=a")
            assert answered.startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    async def test_told_to_stop_it_ends_each_connection_with_its_next_answer(self) -> None:
        request = FORM + b"Content-Length: 5\r\n\r\nimg=a"
        async with serving(application(), drain_s=1) as (stop, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            assert b"Connection: close" not in await reader.readuntil(b"\r\n\r\n")
            stop.set()
            writer.write(request)
            async with asyncio.timeout(10):
                assert b"Connection: close\r\n" in await reader.read()
            writer.close()
