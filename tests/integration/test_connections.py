"""Connections on real sockets: how many there are, whose they are, how they read, and what their requests are."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from facesearch.embedded.up import listen
from gateway.body.reading import defer_continue, read_body
from gateway.http.answers import answer
from gateway.http.connections import Connections
from gateway.http.middleware import errors, request_id
from gateway.http.server import Site, serve
from gateway.http.timeouts import Timeouts
from gateway.metrics import ConnectionMetrics
from processes import API_KEY, empty_redis, wait_for
from service import Service
from shared.contract import Status
from shared.host.descriptors import MOST

PATIENT = Timeouts(header_s=60, body_s=60, body_grace_s=60, idle_s=60, linger_s=60)
ASK = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /size HTTP/1.1\r\nHost: h\r\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """A server in this process, with a handler that notes its calls."""

    port: int
    clock: Clock
    registry: CollectorRegistry
    asked: list[str]
    go_on: asyncio.Event
    writers: list[asyncio.StreamWriter]

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"facesearch_{name}", labels)


@asynccontextmanager
async def serving(
    most: int = 100, per_address: int = 100, timeouts: Timeouts = PATIENT, much: bytes = b"", *, held: bool = False
) -> AsyncIterator[Served]:
    """much: the answer of /much. held: /hello waits until it may go on."""
    listening = socket.create_server(("127.0.0.1", 0))
    served = Served(listening.getsockname()[1], Clock(), CollectorRegistry(), [], asyncio.Event(), [])
    if not held:
        served.go_on.set()

    async def hello(request: web.Request) -> web.Response:
        served.asked.append(request.path)
        await served.go_on.wait()
        return answer(Status.OK, "hello")

    async def a_lot(_request: web.Request) -> web.Response:
        return web.Response(body=much)

    async def size(request: web.Request) -> web.Response:
        return answer(Status.OK, {"size": len(await read_body(request, 20_000_000))})

    app = web.Application(middlewares=[request_id, errors])
    app.router.add_get("/hello", hello)
    app.router.add_get("/much", a_lot)
    app.router.add_post("/size", size, expect_handler=defer_continue)
    connections = Connections(most, per_address, counts=ConnectionMetrics(served.registry), clock=served.clock)
    stop = asyncio.Event()
    task = asyncio.create_task(serve([Site(app, sock=listening, connections=connections)], stop, timeouts))
    try:
        async with asyncio.timeout(60):
            yield served
    finally:
        for writer in served.writers:
            writer.close()
        served.go_on.set()
        stop.set()
        await task


class Caller:
    """A connection from an address of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def at(cls, served: Served, host: str = "127.0.0.1") -> "Caller":
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=(host, 0))
        served.writers.append(writer)
        return cls(reader, writer)

    def say(self, sent: bytes) -> None:
        self._writer.write(sent)

    async def ask(self) -> bytes:
        """The whole answer of one request."""
        self.say(ASK)
        return await self.reader.readuntil(b'"hello"}')

    async def heard(self) -> bytes:
        """All that still comes, up to the end of the connection."""
        return await self.reader.read()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


class TestHowMany:
    async def test_whoever_has_been_idle_longest_makes_room(self) -> None:
        async with serving(most=2) as served:
            first, second = await Caller.at(served), await Caller.at(served)
            for caller in (first, second, first):
                await caller.ask()
                served.clock.now += 10
            third = await Caller.at(served)
            assert await second.heard() == b""
            for caller in (first, third):
                assert b"200 OK" in await caller.ask()
            assert served.counted("connections_dropped_total", reason="idle") == 1
            assert served.counted("connections") == 2

    async def test_where_nobody_is_idle_the_new_one_is_told_so_at_once(self) -> None:
        async with serving(most=2, held=True) as served:
            callers = [await Caller.at(served) for _ in range(2)]
            for caller in callers:
                caller.say(ASK)
            await until(lambda: len(served.asked) == 2)
            served.clock.now += 10
            refused = await (await Caller.at(served)).heard()
            assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b'"FAIL"' in refused
            assert b"Retry-After: 1\r\n" in refused
            assert b"Connection: close\r\n" in refused
            served.go_on.set()
            for caller in callers:
                assert b"200 OK" in await caller.reader.readuntil(b'"hello"}')
            assert served.counted("connections_refused_total", reason="full") == 1

    async def test_headers_that_have_begun_and_an_answer_that_was_the_last_make_room_too(self) -> None:
        async with serving(most=2) as served:
            slow, ended = await Caller.at(served), await Caller.at(served)
            slow.say(b"GET /hello HT")
            ended.say(b"nonsense\r\n\r\n")
            assert b"400 Bad Request" in await ended.reader.readuntil(b"}")
            served.clock.now += 10
            for _ in range(2):
                assert b"200 OK" in await (await Caller.at(served)).ask()
            assert await slow.heard() == b""

    async def test_one_address_has_its_share_and_the_others_theirs(self) -> None:
        async with serving(most=10, per_address=2) as served:
            greedy = [await Caller.at(served, "127.0.0.2") for _ in range(2)]
            assert b"503" in await (await Caller.at(served, "127.0.0.2")).heard()
            assert b"200 OK" in await (await Caller.at(served, "127.0.0.3")).ask()
            for caller in greedy:
                assert b"200 OK" in await caller.ask()
            assert served.counted("connections_refused_total", reason="address") == 1

    async def test_callers_take_none_of_another_server_in_the_same_process(self) -> None:
        async with serving(most=1) as callers, serving(most=1) as admin:
            assert b"200 OK" in await (await Caller.at(callers)).ask()
            assert b"503" in await (await Caller.at(callers)).heard()
            assert b"200 OK" in await (await Caller.at(admin)).ask()

    async def test_a_connection_that_ends_makes_room(self) -> None:
        async with serving(most=1) as served:
            for _ in range(3):
                caller = await Caller.at(served)
                caller.say(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert b"200 OK" in await caller.heard()
                await until(lambda: served.counted("connections") == 0)


HASTY = replace(PATIENT, answer_read_s=0.3, answer_read_bytes=1000)
MUCH = b"a" * 20_000_000
"""More than the system's buffers take."""


class TestSlowReaders:
    @pytest.mark.parametrize("requests", [1, 20])
    async def test_whoever_takes_nothing_is_dropped(self, requests: int) -> None:
        async with serving(timeouts=HASTY, much=MUCH) as served:
            caller = await Caller.at(served)
            caller.say(ASK.replace(b"hello", b"much") * requests)
            await until(lambda: served.counted("connections_dropped_total", reason="slow_reader") == 1)
            await until(lambda: served.counted("connections") == 0)

    async def test_whoever_takes_its_time_gets_all(self) -> None:
        async with serving(timeouts=replace(HASTY, answer_read_s=1), much=MUCH) as served:
            caller = await Caller.at(served)
            caller.say(ASK.replace(b"hello", b"much"))
            await caller.reader.readuntil(b"\r\n\r\n")
            for _ in range(len(MUCH) // 200_000):
                await caller.reader.readexactly(200_000)
                await asyncio.sleep(0.025)
            assert b"200 OK" in await caller.ask()
            assert served.counted("connections_dropped_total", reason="slow_reader") == 0

    async def test_a_trickle_does_not_help(self) -> None:
        async with serving(timeouts=replace(HASTY, answer_read_bytes=1_000_000), much=MUCH) as served:
            with socket.create_connection(("127.0.0.1", served.port)) as caller:
                caller.setblocking(False)
                caller.send(ASK.replace(b"hello", b"much"))
                loop = asyncio.get_running_loop()
                while served.counted("connections_dropped_total", reason="slow_reader") == 0:
                    await loop.sock_recv(caller, 100)
                    await asyncio.sleep(0.01)


class TestWhatIsNotServed:
    @pytest.mark.parametrize("request_line", [b"GET /hello HTTP/2.0", b"GET /hello HTTP/0.9", b"GET /hello"])
    @pytest.mark.parametrize(("behind", "status"), [(b"", b"HTTP/1.1 505 "), (ASK, b"HTTP/1.0 400 ")])
    async def test_a_version_that_frames_differently(self, request_line: bytes, behind: bytes, status: bytes) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(request_line + b"\r\nHost: h\r\n\r\n" + behind)
            answered = await caller.heard()
            assert answered.startswith(status)
            assert answered.count(b'"INVALID_REQUEST"') == 1
            assert b"\r\nConnection: close\r\n" in answered
            assert served.asked == []

    @pytest.mark.parametrize("length", [b"", b"Content-Length: %d\r\n" % len(ASK)])
    @pytest.mark.parametrize("together", [True, False])
    async def test_what_comes_behind_connect_is_no_request(self, length: bytes, *, together: bool) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            head = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n" + length + b"\r\n"
            caller.say(head + ASK if together else head)
            answered = await caller.reader.readuntil(b"}")
            if not together:
                caller.say(ASK)
            answered += await caller.heard()
            assert answered.startswith(b"HTTP/1.1 400 ")
            assert b"CONNECT asks for a tunnel" in answered
            assert b"\r\nConnection: close\r\n" in answered
            assert answered.count(b"HTTP/1.1") == 1
            assert served.asked == []

    async def test_what_comes_behind_another_upgrade_is_one_as_nothing_is_upgraded(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(ASK.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n") + ASK)
            for _ in range(2):
                assert b"200 OK" in await caller.reader.readuntil(b'"hello"}')

    async def test_headers_of_many_requests_may_come_in_pieces(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            for _ in range(20):
                caller.say(ASK[:-2])
                for piece in (b"X-1: %s\r\n" % (b"a" * 4000), b"X-2: %s\r\n" % (b"a" * 4000), b"\r\n"):
                    await asyncio.sleep(0.005)
                    caller.say(piece)
                assert b"200 OK" in await caller.reader.readuntil(b'"hello"}')

    async def test_headers_that_never_end(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            for number in range(100):
                caller.say(b"X-%d: %s\r\n" % (number, b"a" * 1000) if number else ASK[:-2])
                await asyncio.sleep(0)
            answered = await caller.reader.readuntil(b"}")
            assert answered.startswith(b"HTTP/1.1 431 ")
            assert b"headers are larger than 32 KiB" in answered


def chunked(size: int, total: int) -> bytes:
    """A body of so many bytes in chunks of that size."""
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * (total // size) + b"0\r\n\r\n"


class TestChunks:
    HEAD = POST + b"Transfer-Encoding: chunked\r\n"

    async def test_a_large_body_of_tiny_ones_is_not_read(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(self.HEAD + b"\r\n" + chunked(1, 2_500_000))
            answered = await caller.reader.readuntil(b"}")
            assert b"chunks of the body are too small" in answered
            assert b"\r\nConnection: close\r\n" in answered

    @pytest.mark.parametrize(("size", "total"), [(1, 5000), (48, 4_800_000), (77, 770_000), (65_536, 13_107_200)])
    async def test_what_is_large_enough_or_little_is(self, size: int, total: int) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(self.HEAD + b"\r\n" + chunked(size, total) + ASK)
            assert b'{"size": %d}' % total in await caller.reader.readuntil(b"}}")
            assert b"200 OK" in await caller.reader.readuntil(b'"hello"}')


_MANY, _SLOW, _NOT, _CHUNKS = TestHowMany(), TestSlowReaders(), TestWhatIsNotServed(), TestChunks()


@pytest.mark.parametrize(
    "run",
    [
        _MANY.test_whoever_has_been_idle_longest_makes_room,
        _MANY.test_where_nobody_is_idle_the_new_one_is_told_so_at_once,
        _MANY.test_headers_that_have_begun_and_an_answer_that_was_the_last_make_room_too,
        _MANY.test_one_address_has_its_share_and_the_others_theirs,
        lambda: _SLOW.test_whoever_takes_nothing_is_dropped(20),
        _SLOW.test_whoever_takes_its_time_gets_all,
        _SLOW.test_a_trickle_does_not_help,
        lambda: _NOT.test_what_comes_behind_connect_is_no_request(b"", together=False),
        _NOT.test_headers_that_never_end,
        _CHUNKS.test_a_large_body_of_tiny_ones_is_not_read,
        lambda: _CHUNKS.test_what_is_large_enough_or_little_is(48, 4_800_000),
    ],
)
def test_it_is_so_on_the_loop_of_the_gateway_too(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """The tests above are run on Python's own."""
    uvloop.run(run())


@dataclass
class Gateway:
    """A real one, in a process of its own."""

    process: psutil.Process
    port: int
    log: Path

    def get(self, path: str) -> int:
        """The HTTP status. Raises httpx.TransportError when the connection is reset."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).status_code


@contextmanager
def gateway(folder: Path, descriptors: int, **settings: str) -> Iterator[Gateway]:
    """One that may have so many descriptors and no more."""
    log = folder / "gateway.log"
    with ExitStack() as stack:
        url = stack.enter_context(empty_redis(folder))
        listening = stack.enter_context(listen("127.0.0.1", 0))
        stderr = stack.enter_context(log.open("w"))
        fd = str(listening.fileno())
        limited = f'ulimit -n {descriptors} && exec "$@"'
        process = stack.enter_context(
            subprocess.Popen(
                ["sh", "-c", limited, "sh", sys.executable, "-m", "gateway", "--fd", fd],
                env={**os.environ, "REDIS_URL": url, "FACESEARCH_API_KEY": API_KEY, **settings},
                pass_fds=[listening.fileno()],
                stderr=stderr,
            )
        )
        stack.callback(process.terminate)
        running = Gateway(psutil.Process(process.pid), listening.getsockname()[1], log)
        wait_for(lambda: running.get("/readyz") == 200)
        yield running


def refusal(port: int, host: str) -> bytes:
    """What a caller from that address hears before it has said anything; nothing, when it is let in."""
    with socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(host, 0)) as caller:
        caller.settimeout(1)
        with suppress(TimeoutError):
            return caller.recv(1000)
    return b""


@contextmanager
def crowd(port: int, number: int) -> Iterator[list[socket.socket]]:
    """So many connections, from 32 addresses, that say nothing."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(f"127.0.1.{n % 32 + 1}", 0))
            )
            for n in range(number)
        ]


BEGUN = (
    f"POST /v1/delface HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nExpect: 100-continue\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 500000\r\n\r\n"
).encode()
"""A request, answered as one without its parameters when all of its body is there."""


@pytest.mark.slow
class TestFewDescriptors:
    def test_a_crowd_shuts_nobody_out(self, tmp_path: Path) -> None:
        with gateway(tmp_path, descriptors=128) as running:
            for _ in range(3):
                with crowd(running.port, 300):
                    # At first all have just come, and FAIL is said; nobody is reset.
                    wait_for(lambda: running.get("/healthz") == 200)
                    assert {running.get("/healthz") for _ in range(20)} == {200}
            assert "connections_many" in running.log.read_text()

    def test_connections_wait_where_there_is_no_descriptor(self, tmp_path: Path) -> None:
        with gateway(tmp_path, descriptors=1024) as running, ExitStack() as stack:
            asking = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
            asking.sendall(BEGUN)
            wait_for(lambda: "100 Continue" in asking.recv(1000).decode())
            asking.sendall(b"a" * 400_000)
            left = running.process.num_fds() + 5
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (left, left))
            with crowd(running.port, 20):
                # It waits behind the crowd, until those that are idle make room.
                assert running.get("/healthz") == 200
                assert "accepting_paused" in running.log.read_text()
                asking.sendall(b"a" * 100_000)
                assert asking.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert [running.get("/readyz") for _ in range(20)] == [200] * 20
            assert "EMFILE" in running.log.read_text()
            assert "Traceback" not in running.log.read_text()


class TestSettings:
    def test_a_trusted_proxy_has_as_many_as_there_are(self, tmp_path: Path) -> None:
        settings = {"FACESEARCH_CONNECTIONS": "6", "FACESEARCH_TRUSTED_PROXIES": "127.0.2.0/24"}
        with gateway(tmp_path, 1024, **settings) as running, ExitStack() as stack:

            def enter(host: str) -> None:
                source = (host, 0)
                caller = socket.create_connection(("127.0.0.1", running.port), timeout=30, source_address=source)
                # It has begun a request, the body of which is asked for: it will not make room.
                stack.enter_context(caller).sendall(BEGUN)
                assert b"100 Continue" in caller.recv(1000)

            for _ in range(3):
                enter("127.0.1.1")
            assert b'"FAIL"' in refusal(running.port, "127.0.1.1")
            for _ in range(3):
                enter("127.0.2.1")
            assert b'"FAIL"' in refusal(running.port, "127.0.2.1")
            assert running.log.read_text().count("connections_many") == 1


LOW = ["sh", "-c", 'ulimit -S -n 256 && exec "$@"', "sh"]
"""Runs a command with a low soft limit."""

_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
RAISED = (MOST if HARD == resource.RLIM_INFINITY else min(HARD, MOST), HARD)


@pytest.mark.slow
def test_everything_that_is_started_raises_its_soft_limit_of_descriptors(tmp_path: Path) -> None:
    with Service(tmp_path / "data", through=LOW) as service:
        for process in service.processes():
            if "python" in process.name():
                assert process.rlimit(resource.RLIMIT_NOFILE) == RAISED


def test_a_worker_by_itself_does_so_too(tmp_path: Path) -> None:
    nowhere = {"REDIS_URL": f"unix://{tmp_path}/none.sock", "FACESEARCH_STORE": "memory"}
    with subprocess.Popen(
        [*LOW, sys.executable, "-m", "worker"], env={**os.environ, **nowhere}, stderr=subprocess.DEVNULL
    ) as started:
        worker = psutil.Process(started.pid)
        wait_for(lambda: worker.rlimit(resource.RLIMIT_NOFILE) == RAISED)
        worker.kill()
