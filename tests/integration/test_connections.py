"""Connections on real sockets: their number, their shares by address, slow readers, and the framing of requests."""

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
from processes import API_KEY, empty_redis, end, wait_for
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
    """A server in this process, with a handler that records its calls."""

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
    """much: the body of /much. held: /hello waits for `go_on`."""
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
    task = asyncio.create_task(serve([Site(app, sockets=[listening], connections=connections)], stop, timeouts))
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
        """Send a request and return its whole answer."""
        self.say(ASK)
        return await self.reader.readuntil(b'"hello"}')

    async def heard(self) -> bytes:
        """Return everything up to the end of the connection."""
        return await self.reader.read()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


class TestNumber:
    async def test_the_longest_idle_connection_is_closed_for_a_new_one(self) -> None:
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

    async def test_a_new_connection_is_refused_at_once_if_none_is_idle(self) -> None:
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

    async def test_connections_with_partial_headers_or_a_last_answer_are_closed_too(self) -> None:
        async with serving(most=2) as served:
            slow, ended = await Caller.at(served), await Caller.at(served)
            slow.say(b"GET /hello HT")
            ended.say(b"nonsense\r\n\r\n")
            assert b"400 Bad Request" in await ended.reader.readuntil(b"}")
            served.clock.now += 10
            for _ in range(2):
                assert b"200 OK" in await (await Caller.at(served)).ask()
            assert await slow.heard() == b""

    async def test_each_address_has_its_share(self) -> None:
        async with serving(most=10, per_address=2) as served:
            greedy = [await Caller.at(served, "127.0.0.2") for _ in range(2)]
            assert b"503" in await (await Caller.at(served, "127.0.0.2")).heard()
            assert b"200 OK" in await (await Caller.at(served, "127.0.0.3")).ask()
            for caller in greedy:
                assert b"200 OK" in await caller.ask()
            assert served.counted("connections_refused_total", reason="address") == 1

    async def test_two_servers_in_one_process_count_separately(self) -> None:
        async with serving(most=1) as callers, serving(most=1) as admin:
            assert b"200 OK" in await (await Caller.at(callers)).ask()
            assert b"503" in await (await Caller.at(callers)).heard()
            assert b"200 OK" in await (await Caller.at(admin)).ask()

    async def test_a_connection_that_ends_does_not_count(self) -> None:
        async with serving(most=1) as served:
            for _ in range(3):
                caller = await Caller.at(served)
                caller.say(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert b"200 OK" in await caller.heard()
                await until(lambda: served.counted("connections") == 0)


HASTY = replace(PATIENT, answer_read_s=0.3, answer_read_bytes=1000)
MUCH = b"a" * 20_000_000
"""More than the buffers of the system hold."""


class TestSlowReaders:
    @pytest.mark.parametrize("requests", [1, 20])
    async def test_a_caller_that_reads_nothing_is_dropped(self, requests: int) -> None:
        async with serving(timeouts=HASTY, much=MUCH) as served:
            caller = await Caller.at(served)
            caller.say(ASK.replace(b"hello", b"much") * requests)
            await until(lambda: served.counted("connections_dropped_total", reason="slow_reader") == 1)
            await until(lambda: served.counted("connections") == 0)

    async def test_a_caller_that_reads_slowly_enough_gets_everything(self) -> None:
        async with serving(timeouts=replace(HASTY, answer_read_s=1), much=MUCH) as served:
            caller = await Caller.at(served)
            caller.say(ASK.replace(b"hello", b"much"))
            await caller.reader.readuntil(b"\r\n\r\n")
            for _ in range(len(MUCH) // 200_000):
                await caller.reader.readexactly(200_000)
                await asyncio.sleep(0.025)
            assert b"200 OK" in await caller.ask()
            assert served.counted("connections_dropped_total", reason="slow_reader") == 0

    async def test_a_caller_that_reads_too_slowly_is_dropped(self) -> None:
        async with serving(timeouts=replace(HASTY, answer_read_bytes=1_000_000), much=MUCH) as served:
            with socket.create_connection(("127.0.0.1", served.port)) as caller:
                caller.setblocking(False)
                caller.send(ASK.replace(b"hello", b"much"))
                loop = asyncio.get_running_loop()
                while served.counted("connections_dropped_total", reason="slow_reader") == 0:
                    await loop.sock_recv(caller, 100)
                    await asyncio.sleep(0.01)


class TestFraming:
    @pytest.mark.parametrize("request_line", [b"GET /hello HTTP/2.0", b"GET /hello HTTP/0.9", b"GET /hello"])
    @pytest.mark.parametrize(("behind", "status"), [(b"", b"HTTP/1.1 505 "), (ASK, b"HTTP/1.0 400 ")])
    async def test_another_http_version_is_refused_and_the_rest_not_read(
        self, request_line: bytes, behind: bytes, status: bytes
    ) -> None:
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
    async def test_data_after_connect_is_no_request(self, length: bytes, *, together: bool) -> None:
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

    async def test_data_after_another_upgrade_is_the_next_request(self) -> None:
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

    async def test_endless_headers_are_refused(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            for number in range(100):
                caller.say(b"X-%d: %s\r\n" % (number, b"a" * 1000) if number else ASK[:-2])
                await asyncio.sleep(0)
            answered = await caller.reader.readuntil(b"}")
            assert answered.startswith(b"HTTP/1.1 431 ")
            assert b"headers are larger than 32 KiB" in answered


def chunked(size: int, total: int) -> bytes:
    """Return a body of `total` bytes in chunks of `size` bytes."""
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * (total // size) + b"0\r\n\r\n"


class TestChunks:
    HEAD = POST + b"Transfer-Encoding: chunked\r\n"

    async def test_a_large_body_of_tiny_chunks_is_refused(self) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(self.HEAD + b"\r\n" + chunked(1, 2_500_000))
            answered = await caller.reader.readuntil(b"}")
            assert b"chunks of the body are too small" in answered
            assert b"\r\nConnection: close\r\n" in answered

    @pytest.mark.parametrize(("size", "total"), [(1, 5000), (48, 4_800_000), (77, 770_000), (65_536, 13_107_200)])
    async def test_large_chunks_and_small_bodies_are_read(self, size: int, total: int) -> None:
        async with serving() as served:
            caller = await Caller.at(served)
            caller.say(self.HEAD + b"\r\n" + chunked(size, total) + ASK)
            assert b'{"size": %d}' % total in await caller.reader.readuntil(b"}}")
            assert b"200 OK" in await caller.reader.readuntil(b'"hello"}')


_NUMBER, _SLOW, _FRAMING, _CHUNKS = TestNumber(), TestSlowReaders(), TestFraming(), TestChunks()


@pytest.mark.parametrize(
    "run",
    [
        _NUMBER.test_the_longest_idle_connection_is_closed_for_a_new_one,
        _NUMBER.test_a_new_connection_is_refused_at_once_if_none_is_idle,
        _NUMBER.test_connections_with_partial_headers_or_a_last_answer_are_closed_too,
        _NUMBER.test_each_address_has_its_share,
        lambda: _SLOW.test_a_caller_that_reads_nothing_is_dropped(20),
        _SLOW.test_a_caller_that_reads_slowly_enough_gets_everything,
        _SLOW.test_a_caller_that_reads_too_slowly_is_dropped,
        lambda: _FRAMING.test_data_after_connect_is_no_request(b"", together=False),
        _FRAMING.test_endless_headers_are_refused,
        _CHUNKS.test_a_large_body_of_tiny_chunks_is_refused,
        lambda: _CHUNKS.test_large_chunks_and_small_bodies_are_read(48, 4_800_000),
    ],
)
def test_the_behaviour_is_the_same_on_the_gateways_event_loop(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """The tests above run on Python's own event loop."""
    uvloop.run(run())


@dataclass
class Gateway:
    """A real gateway, in a process of its own."""

    process: psutil.Process
    port: int
    log: Path

    def get(self, path: str) -> int:
        """Return the HTTP status. Raises httpx.TransportError if the connection is reset."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).status_code


@contextmanager
def gateway(folder: Path, descriptors: int, **settings: str) -> Iterator[Gateway]:
    """Run a gateway with a limit of file descriptors."""
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
        stack.callback(end, process)
        running = Gateway(psutil.Process(process.pid), listening.getsockname()[1], log)
        wait_for(lambda: running.get("/readyz") == 200)
        yield running


def refusal(port: int, host: str) -> bytes:
    """Return what a caller from that address receives before it sends anything; nothing if it is accepted."""
    with socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(host, 0)) as caller:
        caller.settimeout(1)
        with suppress(TimeoutError):
            return caller.recv(1000)
    return b""


@contextmanager
def crowd(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Open that many connections, from 32 addresses, which send nothing."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(f"127.0.1.{n % 32 + 1}", 0))
            )
            for n in range(number)
        ]


INCOMPLETE = (
    f"POST /v1/delface HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nExpect: 100-continue\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 500000\r\n\r\n"
).encode()
"""A request with an incomplete body; when it is complete, the answer is that a parameter is missing."""


@pytest.mark.slow
class TestFewDescriptors:
    def test_a_crowd_of_connections_keeps_no_caller_out(self, tmp_path: Path) -> None:
        with gateway(tmp_path, descriptors=128) as running:
            for _ in range(3):
                with crowd(running.port, 300):
                    # At first all connections are new, and the answer is FAIL; none is reset.
                    wait_for(lambda: running.get("/healthz") == 200)
                    assert {running.get("/healthz") for _ in range(20)} == {200}
            assert "connections_many" in running.log.read_text()

    def test_new_connections_wait_for_a_free_descriptor(self, tmp_path: Path) -> None:
        with gateway(tmp_path, descriptors=1024) as running, ExitStack() as stack:
            asking = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
            asking.sendall(INCOMPLETE)
            wait_for(lambda: "100 Continue" in asking.recv(1000).decode())
            asking.sendall(b"a" * 400_000)
            left = running.process.num_fds() + 5
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (left, left))
            with crowd(running.port, 20):
                # It waits behind the crowd until idle connections are closed.
                assert running.get("/healthz") == 200
                assert "accepting_paused" in running.log.read_text()
                asking.sendall(b"a" * 100_000)
                assert asking.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert [running.get("/readyz") for _ in range(20)] == [200] * 20
            assert "EMFILE" in running.log.read_text()
            assert "Traceback" not in running.log.read_text()


class TestSettings:
    def test_a_trusted_proxy_may_use_all_connections(self, tmp_path: Path) -> None:
        settings = {"FACESEARCH_CONNECTIONS": "6", "FACESEARCH_TRUSTED_PROXIES": "127.0.2.0/24"}
        with gateway(tmp_path, 1024, **settings) as running, ExitStack() as stack:

            def hold_connection(host: str) -> None:
                source = (host, 0)
                caller = socket.create_connection(("127.0.0.1", running.port), timeout=30, source_address=source)
                # Its body is expected, so the connection is not idle.
                stack.enter_context(caller).sendall(INCOMPLETE)
                assert b"100 Continue" in caller.recv(1000)

            for _ in range(3):
                hold_connection("127.0.1.1")
            assert b'"FAIL"' in refusal(running.port, "127.0.1.1")
            for _ in range(3):
                hold_connection("127.0.2.1")
            assert b'"FAIL"' in refusal(running.port, "127.0.2.1")
            assert running.log.read_text().count("connections_many") == 1


LOW = ["sh", "-c", 'ulimit -S -n 256 && exec "$@"', "sh"]
"""Run a command with a low soft limit."""

_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
RAISED = (MOST if HARD == resource.RLIM_INFINITY else min(HARD, MOST), HARD)


@pytest.mark.slow
def test_every_process_of_a_service_raises_its_soft_limit_of_descriptors(tmp_path: Path) -> None:
    with Service(tmp_path / "data", through=LOW) as service:
        for process in service.processes():
            is_vision_process = "fork_server" in " ".join(process.parent().cmdline())  # it needs none
            if "python" in process.name() and not is_vision_process:
                assert process.rlimit(resource.RLIMIT_NOFILE) == RAISED


def test_a_separate_worker_raises_its_soft_limit_of_descriptors(tmp_path: Path) -> None:
    nowhere = {"REDIS_URL": f"unix://{tmp_path}/none.sock", "FACESEARCH_STORE": "memory"}
    with subprocess.Popen(
        [*LOW, sys.executable, "-m", "worker"], env={**os.environ, **nowhere}, stderr=subprocess.DEVNULL
    ) as started:
        try:
            worker = psutil.Process(started.pid)
            wait_for(lambda: worker.rlimit(resource.RLIMIT_NOFILE) == RAISED)
        finally:
            started.kill()
