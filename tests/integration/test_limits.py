"""Limits on a real broker: exact over several gateways, self-healing, with the contract's answers."""

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from inspect import isawaitable
from pathlib import Path
from unittest.mock import AsyncMock

import httpx
import pytest
from redis.asyncio import Redis

from gateway.access.limits import Limits
from gateway.redis_connection import SharedConnection
from processes import broker, gateway, wait_for
from shared.control import LEAST_RATE, MOST_RATE, Key, Scope
from shared.errors import TooManyRequests, Unavailable
from shared.redis_clients import connect


def key(*, rate: float | None = None, concurrency: int | None = None, name: str = "k") -> Key:
    return Key(id=name, tenant="t", name=name, scopes=frozenset(Scope), created=0, rate=rate, concurrency=concurrency)


def limits(redis: SharedConnection, *, rate: float = 0, concurrency: int = 0, lease_s: float = 60):
    return Limits(redis, rate=rate, concurrency=concurrency, lease_s=lease_s)


async def taken(subject: Limits, caller: Key) -> TooManyRequests | None:
    """Make a request that ends at once. Returns None if it was admitted, else the refusal."""
    try:
        async with subject.hold(caller):
            return None
    except TooManyRequests as refusal:
        return refusal


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            answer = condition()
            if await answer if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.005)


@contextmanager
def half_sent(client: httpx.Client, body: bytes = b"a=b") -> Iterator[Callable[[], bytes]]:
    """Send a request with an incomplete body. Yields a function that sends the rest and returns the answer."""
    head = (
        "POST /v1/delface HTTP/1.1\r\nHost: h\r\n"
        f"X-API-Key: {client.headers['X-API-Key']}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the request has begun
        connection.sendall(body[:1])

        def finish() -> bytes:
            connection.sendall(body[1:])
            return b"".join(iter(lambda: connection.recv(4096), b""))

        yield finish


class TestRate:
    async def test_a_burst_is_limited_to_one_second_over_all_gateways(self, connection: SharedConnection) -> None:
        gateways = [limits(connection, rate=50) for _ in range(3)]
        start = time.monotonic()
        answers = await asyncio.gather(*(taken(gateways[n % 3], key()) for n in range(300)))
        allowed = 50 + math.floor((time.monotonic() - start) * 50) + 1
        assert 50 <= answers.count(None) <= allowed

    async def test_a_slow_rate_admits_one_request_and_says_when_to_retry(self, connection: SharedConnection) -> None:
        subject = limits(connection, rate=1 / 30)
        assert await taken(subject, key()) is None
        refusal = await taken(subject, key())
        assert refusal is not None
        assert refusal.retry_after_s == 30
        # A refused request costs nothing: the wait does not grow.
        for _ in range(10):
            refusal = await taken(subject, key())
        assert refusal is not None
        assert 29 <= refusal.retry_after_s <= 30

    async def test_a_request_after_retry_after_is_admitted(self, connection: SharedConnection) -> None:
        subject = limits(connection, rate=2)
        answers = [await taken(subject, key()) for _ in range(3)]
        assert answers[:2] == [None, None]
        assert answers[2] is not None
        assert answers[2].retry_after_s == 1
        end = time.monotonic() + answers[2].retry_after_s
        await until(lambda: time.monotonic() >= end)
        assert await taken(subject, key()) is None

    @pytest.mark.parametrize("rate", [5e-324, 1e-12, LEAST_RATE, MOST_RATE, 1e7, 1e300])
    async def test_extreme_rates_of_former_releases_admit_a_request(
        self, connection: SharedConnection, rate: float
    ) -> None:
        assert await taken(limits(connection), key(rate=rate)) is None

    async def test_keys_have_separate_rates_and_their_own_overrides_the_default(
        self, connection: SharedConnection
    ) -> None:
        subject = limits(connection, rate=1)
        assert await taken(subject, key(name="a")) is None
        assert await taken(subject, key(name="a")) is not None
        assert await taken(subject, key(name="b")) is None
        generous = key(name="c", rate=500)
        assert [await taken(subject, generous) for _ in range(50)] == [None] * 50
        unlimited = key(name="d", rate=0)
        assert [await taken(subject, unlimited) for _ in range(50)] == [None] * 50

    async def test_a_clock_that_was_set_back_refuses_nobody(self, redis: Redis, connection: SharedConnection) -> None:
        caller, subject = key(rate=0.01, concurrency=1), limits(connection)
        seconds, _ = await redis.time()
        in_an_hour = (seconds + 3600) * 10**6
        await redis.set(f"fs:rate:{caller.id}", in_an_hour)
        await redis.zadd(f"fs:leases:{caller.id}", {"before": in_an_hour})
        assert await taken(subject, caller) is None
        assert isinstance(await taken(subject, caller), TooManyRequests)  # it counts again from there

    async def test_keys_in_redis_expire(self, redis: Redis, connection: SharedConnection) -> None:
        subject = limits(connection, rate=20, concurrency=5, lease_s=0.2)
        async with subject.hold(key()):
            assert sorted(await redis.keys("fs:*")) == [b"fs:leases:k", b"fs:rate:k"]
            assert 0 < await redis.pttl("fs:rate:k") <= 1000
            assert 0 < await redis.pttl("fs:leases:k") <= 200

        async def empty() -> bool:
            return not await redis.keys("fs:*")

        await until(empty)


class TestConcurrency:
    async def test_concurrency_is_exact_over_all_gateways(self, connection: SharedConnection) -> None:
        gateways = [limits(connection, concurrency=7) for _ in range(3)]
        inside, most, done = 0, 0, asyncio.Event()

        async def request(subject: Limits) -> bool:
            nonlocal inside, most
            try:
                async with subject.hold(key()):
                    inside += 1
                    most = max(most, inside)
                    await done.wait()
                    inside -= 1
            except TooManyRequests:
                return False
            return True

        requests = [asyncio.create_task(request(gateways[n % 3])) for n in range(200)]
        await until(lambda: sum(task.done() for task in requests) == 193)
        done.set()
        assert sum(await asyncio.gather(*requests)) == 7
        assert most == 7

    async def test_sequential_requests_are_never_refused(self, connection: SharedConnection) -> None:
        subject = limits(connection, concurrency=1)
        assert [await taken(subject, key()) for _ in range(500)] == [None] * 500

    async def test_a_lease_is_released_after_an_error(self, connection: SharedConnection) -> None:
        subject = limits(connection, concurrency=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with subject.hold(key()):
                    raise ZeroDivisionError
        assert await taken(subject, key()) is None

    async def test_leases_of_a_dead_gateway_expire(
        self, connection: SharedConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead, alive = limits(connection, concurrency=2, lease_s=0.3), limits(connection, concurrency=2, lease_s=60)
        monkeypatch.setattr(dead, "_release", AsyncMock())  # it dies before it can release them
        assert [await taken(dead, key()) for _ in range(2)] == [None, None]
        refusal = await taken(alive, key())
        assert refusal is not None
        assert refusal.retry_after_s == 1

        async def let_in() -> bool:
            return await taken(alive, key()) is None

        start = time.monotonic()
        await until(let_in)
        assert time.monotonic() - start < 5

    async def test_a_refusal_for_concurrency_does_not_count_against_the_rate(
        self, connection: SharedConnection
    ) -> None:
        subject = limits(connection, rate=2, concurrency=1)
        async with subject.hold(key()):
            for _ in range(10):
                assert str(await taken(subject, key())) == "too many requests at once"
        assert await taken(subject, key()) is None


class TestBroker:
    async def test_the_script_is_sent_again_to_a_broker_that_forgot_it(
        self, redis: Redis, connection: SharedConnection
    ) -> None:
        subject = limits(connection, rate=1000, concurrency=10)
        for _ in range(3):
            await redis.script_flush()
            assert await taken(subject, key()) is None

    @pytest.mark.embedded("it stops its Redis and starts it again")
    async def test_a_restarted_broker_is_used_again(self, tmp_path: Path) -> None:
        with broker(tmp_path) as url:
            redis = connect(url)
            connection = SharedConnection(redis)
            subject = limits(connection, rate=1000, concurrency=10)
            assert await taken(subject, key()) is None
        with pytest.raises(Unavailable) as error:
            await taken(subject, key())
        assert not isinstance(error.value, TooManyRequests)
        with broker(tmp_path):
            assert await taken(subject, key()) is None
            await connection.aclose()
            await redis.aclose()

    async def test_without_limits_the_broker_is_not_used(self) -> None:
        async with connect("unix:///nowhere.sock") as redis, aclosing(SharedConnection(redis)) as nowhere:
            assert await taken(limits(nowhere), key()) is None
            with pytest.raises(Unavailable):
                await taken(limits(nowhere, rate=1), key())

    async def test_there_may_be_more_commands_than_connections(self, connection: SharedConnection) -> None:
        subject = limits(connection, concurrency=1000)
        assert await asyncio.gather(*(taken(subject, key()) for _ in range(500))) == [None] * 500


class TestService:
    def test_beyond_its_rate_a_key_gets_429_with_retry_after(self, tmp_path: Path) -> None:
        with gateway(tmp_path, rate=3) as client:
            answers = [client.post("/v1/delface") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json() == {"status": "FAIL", "message": "please try again later"}
        assert answers[-1].headers["Retry-After"] == "1"

    def test_the_key_is_checked_before_the_rate_and_the_rate_before_the_parameters(self, tmp_path: Path) -> None:
        with gateway(tmp_path, rate=0.01) as client:
            assert client.post("/v1/delface", headers={"X-API-Key": "wrong"}).status_code == 401
            assert client.post("/v1/delface").json()["message"].startswith("Content-Type")
            refusal = client.post("/v1/delface")
            assert refusal.status_code == 429
            assert 99 <= int(refusal.headers["Retry-After"]) <= 100
            assert client.post("/v1/delface", headers={"X-API-Key": "wrong"}).status_code == 401

    @pytest.mark.parametrize(("setting", "http_status"), [("concurrency", 429), ("in_flight", 503)])
    def test_a_request_counts_while_its_body_arrives(self, tmp_path: Path, setting: str, http_status: int) -> None:
        with gateway(tmp_path, rate=0, **{setting: 1}) as client:
            with half_sent(client) as finish:
                wait_for(lambda: client.post("/v1/delface").status_code == http_status)
                assert client.post("/v1/delface").headers["Retry-After"] == "1"
                unknown = client.post("/v1/delface", headers={"X-API-Key": "wrong"})
                assert unknown.status_code == (401 if setting == "concurrency" else 503)
                assert client.get("/healthz").status_code == 200
                assert b"person_id" in finish()
            wait_for(lambda: client.post("/v1/delface").status_code == 200)
