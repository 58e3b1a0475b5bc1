"""The server on real sockets, with applications of a few lines: slow senders, malformed HTTP, sites, shutdown."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import httpx
import pytest
import uvloop
from aiohttp import web

from gateway.body import uploads
from gateway.body.reading import defer_continue
from gateway.http.answers import answer
from gateway.http.middleware import errors, request_id
from gateway.http.server import Site, serve
from gateway.http.timeouts import Timeouts
from gateway.monitoring.probes import ready
from shared.contract import Status
from shared.errors import Unauthorized

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
    app.router.add_post("/v1/addface", handler, expect_handler=defer_continue)
    return app


@asynccontextmanager
async def serving(
    *apps: web.Application, timeouts: Timeouts = FAST, drain_s: float = 0
) -> AsyncIterator[tuple[asyncio.Event, list[int]]]:
    """Serve the applications. Yields the event that stops them, and their ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in apps]
    stop = asyncio.Event()
    sites = [Site(app, sockets=[listening]) for app, listening in zip(apps, sockets, strict=True)]
    task = asyncio.create_task(serve(sites, stop, timeouts, drain_s=drain_s))
    try:
        yield stop, [listening.getsockname()[1] for listening in sockets]
    finally:
        stop.set()
        await task


async def talk(port: int, *pieces: bytes) -> bytes:
    """Send the pieces and return everything up to the end of the connection."""
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
    """Return the message of the only answer, which must be the contract's JSON."""
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head, answered
    assert b"X-Request-Id: " in head
    document = json.loads(body)
    assert document["status"] == "INVALID_REQUEST"
    return document["message"]


CLOSE = b"Connection: close\r\n"


class TestSlowSenders:
    @pytest.mark.parametrize("beginning", [b"", b"P", HEAD, FORM + b"X: "])
    async def test_missing_headers_are_a_time_out(self, beginning: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, beginning)
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert message(answered) == "headers took too long to arrive"

    async def test_slow_headers_are_a_time_out(self) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD)
            answered = asyncio.create_task(reader.read())
            while not answered.done():
                writer.write(b"X: y\r\n")
                await asyncio.wait([answered], timeout=0.02)
            writer.close()
        assert answered.result().startswith(b"HTTP/1.1 408 ")

    async def test_slow_headers_of_a_later_request_are_a_time_out(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 5\r\n\r\nimg=a" + HEAD)
        first, _, second = answered.partition(b"HTTP/1.1 408 ")
        assert b'"OK"' in first
        assert b"headers took too long" in second or not second  # or the idle connection's own end came first

    async def test_an_idle_connection_is_closed_silently(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 5\r\n\r\nimg=a")
        assert answered.count(b"HTTP/1.1") == 1
        assert b'"OK"' in answered

    async def test_a_missing_body_is_a_time_out(self) -> None:
        async with serving(application()) as (_, (port,)):
            answered = await talk(port, FORM + b"Content-Length: 500\r\n\r\nimg=a")
        assert message(answered) == "body took too long to arrive"

    @pytest.mark.parametrize("framing", [b"Content-Length: 500000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
    async def test_a_slow_body_is_a_time_out(self, framing: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(FORM + framing)
            answered = asyncio.create_task(reader.read())
            while not answered.done():
                writer.write(b"1\r\na\r\n")
                await asyncio.wait([answered], timeout=0.02)
            writer.close()
        assert message(answered.result()) == "body took too long to arrive"

    async def test_a_body_of_sufficient_rate_may_take_long(self) -> None:
        patient = Timeouts(header_s=1, body_s=30, body_grace_s=1, body_rate=1000, idle_s=1, linger_s=0.1)
        async with serving(application(), timeouts=patient) as (_, (port,)):
            pieces = [b"img=", *[b"a" * 1000] * 20]
            answered = await talk(port, FORM + CLOSE + b"Content-Length: 20004\r\n\r\n", *pieces)
        assert b'"img": 20000' in answered


class TestMalformed:
    @pytest.mark.parametrize("name", MALFORMED)
    async def test_malformed_http_is_refused_in_json(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(application()) as (_, (port,)):
            assert message(await talk(port, MALFORMED[name]))
        assert "Traceback" not in caplog.text

    async def test_a_malformed_chunk_within_a_body_is_refused(self) -> None:
        async with serving(application()) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(FORM + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.readuntil(b"100 Continue\r\n\r\n")  # the body is being read now
            writer.write(b"zz\r\n")
            answered = await reader.read()
            writer.close()
        assert "broken" in message(answered)

    async def test_a_caller_that_hangs_up_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serving(application()) as (_, (port,)):
            for ending in (b"", b"img=a", b"\r\n"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(FORM + b"Content-Length: 50\r\n\r\n" + ending)
                await writer.drain()
                writer.transport.abort()
        assert "Traceback" not in caplog.text

    async def test_the_text_of_an_exception_is_not_in_the_answer(self) -> None:
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
    async def test_two_applications_serve_two_sockets(self) -> None:
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

    async def test_resources_of_a_site_are_closed_if_another_cannot_start(self) -> None:
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
    async def test_a_stopping_server_is_not_ready_answers_and_then_ends(self) -> None:
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

    async def test_a_stopping_server_ends_each_connection_with_its_next_answer(self) -> None:
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


PATIENT = Timeouts(header_s=60, body_s=60, body_grace_s=60, idle_s=60, settle_s=60, linger_s=60)
HASTY = replace(PATIENT, settle_s=0)
BODY = b"img=" + b"A" * 2_000_000
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)


async def refuse(_request: web.Request) -> web.Response:
    raise Unauthorized("no key")


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request and return head and body of its answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length
    return head + await reader.readexactly(int(length[1]))


async def until_reset(writer: asyncio.StreamWriter, piece: bytes, every_s: float = 0) -> None:
    """Send the piece again and again until the connection is gone."""
    with suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)


class TestEarlyAnswers:
    """The answer is known before the request has arrived."""

    @pytest.mark.parametrize(
        ("handler", "head", "said"),
        [
            (refuse, FORM + LENGTH, b"HTTP/1.1 401"),
            (parse, FORM + b"Content-Encoding: gzip\r\n" + LENGTH, b"Content-Encoding must be"),
            (parse, HEAD + b"Content-Type: text/html\r\n" + LENGTH, b"Content-Type must be"),
            (parse, FORM.replace(b"addface", b"addface?img=a") + LENGTH, b"belongs in the body"),
            (parse, FORM.replace(b"addface", b"nothing") + LENGTH, b"HTTP/1.1 404"),
            (parse, FORM.replace(b"POST", b"PUT") + LENGTH, b"HTTP/1.1 405"),
            (parse, FORM + b"Expect: more\r\n" + LENGTH, b"HTTP/1.1 417"),
            (crash, FORM + LENGTH, b"HTTP/1.1 503"),
            (parse, FORM + b"X: " + b"a" * 9000 + b"\r\n" + LENGTH, b"header is too long"),
        ],
    )
    async def test_an_early_answer_announces_the_end_and_never_resets_the_connection(
        self, handler: Handler, head: bytes, said: bytes
    ) -> None:
        async with serving(application(handler), timeouts=HASTY) as (_, (port,)), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + BODY[:1000])
            answered = await reader.read()  # to the end of the connection, though not all is sent
            assert said in answered
            assert b"\r\nConnection: close\r\n" in answered
            writer.write(BODY[1000:])
            await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()  # raises if it was reset

    async def test_an_image_that_is_too_large_is_read_to_its_end(self) -> None:
        much = 20_000_000
        request = FORM + b"Content-Length: %d\r\n\r\nimg=" % (much + 4)
        async with serving(application(), timeouts=HASTY) as (_, (port,)):
            answered = await talk(port, request, *[b"A" * 1_000_000] * (much // 1_000_000))
        assert b"IMAGE_INVALID_SIZE" in answered
        assert b"\r\nConnection: close\r\n" in answered

    async def test_a_connection_is_kept_if_the_body_arrives_at_once(self) -> None:
        async with serving(application(refuse), timeouts=PATIENT) as (_, (port,)), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for piece in (1000, len(BODY)):
                writer.write(FORM + LENGTH + BODY[:piece])
                await writer.drain()
                await asyncio.sleep(0)
                answered = await ask(reader, writer, BODY[piece:])
                assert answered.startswith(b"HTTP/1.1 401")
                assert b"Connection: close" not in answered
            writer.close()

    async def test_a_body_is_not_requested_after_an_early_answer(self) -> None:
        request = FORM + b"Expect: 100-continue\r\n" + LENGTH
        async with serving(application(refuse), timeouts=PATIENT) as (_, (port,)):
            answered = await talk(port, request)
        assert answered.startswith(b"HTTP/1.1 401")
        assert b"\r\nConnection: close\r\n" in answered

    async def test_a_body_is_requested_once_and_keeps_the_connection(self) -> None:
        request = FORM + b"Expect: 100-continue\r\n" + LENGTH
        async with serving(application(), timeouts=PATIENT) as (_, (port,)), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _round in range(2):
                writer.write(request)
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                answered = await ask(reader, writer, BODY)
                assert answered.startswith(b"HTTP/1.1 200")
                assert b"Connection: close" not in answered
            writer.close()

    async def test_data_after_an_early_answer_is_bounded_in_bytes(self) -> None:
        bounded = replace(HASTY, linger_bytes=1_000_000)
        endless = FORM + b"Transfer-Encoding: chunked\r\n\r\n"
        async with serving(application(refuse), timeouts=bounded) as (_, (port,)), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert b"Connection: close" in await ask(reader, writer, endless)
            await until_reset(writer, b"10000\r\n" + b"A" * 0x10000 + b"\r\n")

    @pytest.mark.parametrize("bound", [{"linger_s": 0.2}, {"body_grace_s": 0.2, "body_rate": 1_000_000}])
    async def test_data_after_an_early_answer_is_bounded_in_time(self, bound: dict[str, float]) -> None:
        async with serving(application(refuse), timeouts=replace(HASTY, **bound)) as (_, (port,)), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert b"Connection: close" in await ask(reader, writer, FORM + LENGTH)
            await until_reset(writer, b"A", every_s=0.02)

    async def test_a_stopping_server_does_not_wait_for_such_data(self) -> None:
        async with asyncio.timeout(20), serving(application(refuse), timeouts=HASTY) as (_, (port,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, FORM + LENGTH)
        writer.close()

    async def test_the_next_request_of_a_pooling_client_is_not_lost(self) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield b"A" * 100_000
                await asyncio.sleep(0.02)

        async with (
            serving(application(refuse), timeouts=replace(FAST, linger_s=30, body_s=30, body_grace_s=30)) as (
                _,
                (port,),
            ),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            for _round in range(3):
                for content in (slowly(), b"img=a"):
                    answered = await client.post("/v1/addface", content=content)
                    assert answered.status_code == 401


class TestHalfClose:
    """The caller closes its sending direction and continues to read."""

    @staticmethod
    async def talk(port: int, sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(20):
            writer.write(sent)
            writer.write_eof()
            answered = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answered

    @pytest.mark.parametrize("size", [1, 2_000_000])
    async def test_a_request_before_it_is_answered(self, size: int) -> None:
        request = FORM + b"Content-Length: %d\r\n\r\nimg=" % (size + 4) + b"A" * size
        async with serving(application(), timeouts=PATIENT) as (_, (port,)):
            answered = await self.talk(port, request)
        assert b'"img": %d' % size in answered

    async def test_a_slow_request_before_it_is_answered(self) -> None:
        begun, finish = asyncio.Event(), asyncio.Event()

        async def slow(_request: web.Request) -> web.Response:
            begun.set()
            await finish.wait()
            return answer(Status.OK, "finished")

        async with serving(application(slow), timeouts=PATIENT) as (_, (port,)):
            talking = asyncio.create_task(self.talk(port, FORM + b"Content-Length: 0\r\n\r\n"))
            await begun.wait()
            finish.set()
            assert b'"finished"' in await talking

    async def test_several_requests_before_it_are_all_answered(self) -> None:
        async with serving(application(), timeouts=PATIENT) as (_, (port,)):
            answered = await self.talk(port, 3 * (FORM + b"Content-Length: 5\r\n\r\nimg=a"))
        assert answered.count(b'"OK"') == 3
        assert b"Connection: close" not in answered.rpartition(b"HTTP/1.1 200")[0]  # if at all, then with the last

    @pytest.mark.parametrize(
        "framing", [b"Content-Length: 500\r\n\r\nimg=a", b"Transfer-Encoding: chunked\r\n\r\n5\r\nimg"]
    )
    async def test_within_a_body_it_is_an_error(self, framing: bytes) -> None:
        async with serving(application(), timeouts=PATIENT) as (_, (port,)):
            answered = await self.talk(port, FORM + framing)
        assert message(answered) == "body ended too early or its transfer encoding is broken"

    @pytest.mark.parametrize("sent", [b"", HEAD, b"PO"])
    async def test_without_a_request_it_ends_the_connection(self, sent: bytes) -> None:
        async with serving(application(), timeouts=PATIENT) as (_, (port,)):
            assert await self.talk(port, sent) == b""


class TestPaths:
    @pytest.mark.parametrize(
        "path", [b"/v1/addface/", b"//v1/addface", b"/v1//addface", b"///v1/addface//?x=1", b"http://h//v1/addface/"]
    )
    async def test_additional_slashes_are_ignored(self, path: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            request = FORM.replace(b"/v1/addface", path) + CLOSE + b"Content-Length: 5\r\n\r\nimg=a"
            assert b'"img": 1' in await talk(port, request)

    @pytest.mark.parametrize("path", [b"/", b"//", b"/v1/addface/x", b"/v1/add/face", b"/v1/addface%2Fx"])
    async def test_other_paths_are_unknown(self, path: bytes) -> None:
        async with serving(application()) as (_, (port,)):
            request = FORM.replace(b"/v1/addface", path) + CLOSE + b"Content-Length: 5\r\n\r\nimg=a"
            assert "unknown path" in message(await talk(port, request))

    async def test_a_query_string_is_still_checked(self) -> None:
        async with serving(application()) as (_, (port,)):
            request = FORM.replace(b"addface", b"addface/?img=a%20b") + CLOSE + b"Content-Length: 0\r\n\r\n"
            assert "img belongs in the body" in message(await talk(port, request))


_EARLY, _HALF = TestEarlyAnswers(), TestHalfClose()


@pytest.mark.parametrize(
    "run",
    [
        lambda: _EARLY.test_an_early_answer_announces_the_end_and_never_resets_the_connection(
            refuse, FORM + LENGTH, b"401"
        ),
        _EARLY.test_a_connection_is_kept_if_the_body_arrives_at_once,
        _EARLY.test_a_body_is_not_requested_after_an_early_answer,
        _EARLY.test_data_after_an_early_answer_is_bounded_in_bytes,
        lambda: _HALF.test_a_request_before_it_is_answered(2_000_000),
        _HALF.test_a_slow_request_before_it_is_answered,
        lambda: _HALF.test_within_a_body_it_is_an_error(LENGTH + b"img=a"),
        lambda: _HALF.test_without_a_request_it_ends_the_connection(HEAD),
    ],
)
def test_the_behaviour_is_the_same_on_the_gateways_event_loop(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """The tests above run on Python's own event loop."""
    uvloop.run(run())
