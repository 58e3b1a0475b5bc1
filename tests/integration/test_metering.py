"""Metering on real servers: every answer is counted once, despite restarts and kills."""

import asyncio
import base64
import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner, Result
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from facesearch.cli.usage import usage
from gateway.admin.usage import usage_answer
from gateway.calls.metering import Meter
from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import wait_for
from row_requests import row_request
from service import Service
from shared.calls import (
    ADD_FACE,
    CALLS,
    COMPARE_FACES,
    DELETE_FACE,
    DELETE_FACE_OF_PERSON,
    DELETE_PERSON,
    GET_PERSON,
    LIST_FACEDBS,
    LIST_PERSONS,
    SEARCH_FACE,
    UPDATE_PERSON,
    Call,
)
from shared.contract import MAX_IMAGE_BYTES, Status
from shared.control import Control, Key, Scope, Unknown
from shared.usage import DAYS, NOBODY, Period, Usage, as_csv, counter, day_key, read

KEY = Key(id="k1", tenant="t", name="n", scopes=frozenset(Scope), created=0)
Counts = Counter[tuple[str, Status]]


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def counted(url: str, tenant: str) -> Counts:
    """Return a tenant's counters on a broker."""

    async def rows() -> list[Usage]:
        async with Redis.from_url(url) as client:
            return await read(client, Period(), tenant)

    found: Counts = Counter()
    for row in asyncio.run(rows()):
        found[row.call, row.status] += row.count
    return found


class TestCounters:
    async def test_a_repeated_batch_counts_once(self, redis: Redis) -> None:
        first, again = Meter(redis, "gateway"), Meter(redis, "gateway")
        for meter in (first, again):  # the same batch under the same number, as when an answer was lost
            meter.count(ADD_FACE, Status.OK, KEY)
            await meter.flush()
        assert [row.count for row in await read(redis, Period())] == [1]
        for meter in (first, again):
            meter.count(ADD_FACE, Status.OK, KEY)
            await meter.flush()
        assert [row.count for row in await read(redis, Period())] == [2]

    async def test_gateways_add_up_although_the_broker_forgets_the_script(self, redis: Redis) -> None:
        meters = [Meter(redis, name) for name in ("one", "two", "three")]
        for _ in range(20):
            for meter in meters:
                meter.count(SEARCH_FACE, Status.OK, KEY)
                meter.count(SEARCH_FACE, Status.FAIL, None)
            await redis.script_flush()
            await asyncio.gather(*(meter.flush() for meter in meters))
        assert [(row.tenant, row.count) for row in await read(redis, Period())] == [(NOBODY, 60), ("t", 60)]

    async def test_counters_are_permanent_and_all_else_expires(self, redis: Redis) -> None:
        meter = Meter(redis, "gateway")
        meter.count(SEARCH_FACE, Status.OK, KEY)
        await meter.flush()
        today = datetime.now(UTC).date().isoformat()
        assert await redis.ttl(day_key(today)) == await redis.ttl(DAYS) == -1
        assert 86_000 < await redis.ttl("fs:usage:flush:gateway") <= 86_400

    async def test_calls_of_a_later_release_are_read_and_free(self, redis: Redis) -> None:
        await redis.sadd(DAYS, "2026-11-28")
        await redis.hset(day_key("2026-11-28"), counter("shop", "k1", "latercall", Status.OK), 3)
        (row,) = await read(redis, Period())
        assert (row.call, row.count, row.charged) == ("latercall", 3, False)

    async def test_reading_by_period_and_tenant(self, redis: Redis) -> None:
        start = date(2026, 2, 27)
        for offset in range(4):
            day = (start + timedelta(days=offset)).isoformat()
            await redis.sadd(DAYS, day)
            for tenant in ("a", "b"):
                await redis.hset(day_key(day), counter(tenant, "k", SEARCH_FACE.name, Status.OK), offset + 1)
        everything = await read(redis, Period())
        assert len(everything) == 8
        assert everything == sorted(everything)
        some = await read(redis, Period(date(2026, 2, 28), date(2026, 3, 1)), "b")
        assert [(row.day.isoformat(), row.tenant, row.count) for row in some] == [
            ("2026-02-28", "b", 2),
            ("2026-03-01", "b", 3),
        ]
        with pytest.raises(Unknown, match="there is no tenant nobody, and none of that name was ever used"):
            await read(redis, Period(), "nobody")
        answer = await usage_answer(redis, {"from": "2026-03-02", "tenant": "a"})
        assert '"totals": {"a": {"charged": 4, "free": 0}}' in (answer.text or "")
        answer = await usage_answer(redis, {"format": "csv"})
        assert answer.content_type == "text/csv"
        assert answer.text == as_csv(everything)


class TestCommand:
    """`facesearch usage`, on counters of two days."""

    @pytest.fixture
    def run(self, valkey_url: str) -> Callable[..., Result]:
        with SyncRedis.from_url(valkey_url) as redis:
            for day, count in (("2026-02-28", 3), ("2026-03-01", 40)):
                redis.sadd(DAYS, day)
                redis.hset(day_key(day), counter("t", "k", SEARCH_FACE.name, Status.OK), count)
                redis.hset(day_key(day), counter("u", "k", ADD_FACE.name, Status.OK), 1)
        runner = CliRunner(env={"REDIS_URL": valkey_url})
        return lambda *arguments: runner.invoke(usage, arguments)

    def test_the_table_ends_with_totals(self, run: Callable[..., Result]) -> None:
        lines = run().stdout.splitlines()
        assert lines[1].split() == ["2026-02-28", "t", "k", "searchface", "OK", "charged", "3"]
        assert [line.split() for line in lines[-3:]] == [
            ["TENANT", "CHARGED", "FREE"],
            ["t", "43", "0"],
            ["u", "0", "2"],
        ]

    def test_a_period_of_one_tenant(self, run: Callable[..., Result]) -> None:
        shown = run("--from", "2026-03-01", "--to", "2026-03-01", "--tenant", "t", "--json")
        assert json.loads(shown.stdout)["totals"] == {"t": {"charged": 40, "free": 0}}
        nothing = run("--from", "2027-01-01")
        assert (nothing.stdout, nothing.stderr) == ("", "nothing was used in this period\n")
        assert run("--from", "1.3.2026").exit_code == 2

    def test_csv_to_a_file_and_to_stdout(self, run: Callable[..., Result], tmp_path: Path) -> None:
        shown = run("--csv", "-", "--to", "2026-02-28").stdout_bytes
        head = b"day,tenant,key,call,status,count,charged,key_name\r\n"
        assert shown.startswith(head + b"2026-02-28,t,k,searchface,OK,3,true,\r\n")
        assert run("--csv", str(tmp_path / "u.csv"), "--to", "2026-02-28").exit_code == 0
        assert (tmp_path / "u.csv").read_bytes() == shown

    def test_a_missing_service_is_an_error(self, tmp_path: Path) -> None:
        result = CliRunner(env={"REDIS_URL": ""}).invoke(usage, ["--data-dir", str(tmp_path)])
        assert result.exit_code == 1
        assert result.stderr.startswith("facesearch: no service runs on ")


@contextmanager
def caller(service: Service, tenant: str, **limits: float) -> Iterator[httpx.Client]:
    """Yield a client with a new key of the tenant."""

    async def new_key() -> str:
        async with Redis.from_url(service.broker) as redis:
            _, secret = await Control(redis).create_key(tenant, uuid.uuid4().hex, **limits)
            return secret

    with httpx.Client(base_url=service.address, headers={"X-API-Key": asyncio.run(new_key())}, timeout=30) as client:
        yield client


@pytest.fixture
def tenant(service: Service) -> str:
    return new_tenant(service)


def new_tenant(service: Service) -> str:
    name = uuid.uuid4().hex

    async def create() -> None:
        async with Redis.from_url(service.broker) as redis:
            await Control(redis).create_tenant(name)

    asyncio.run(create())
    return name


class Book:
    """Makes requests and counts their answers."""

    def __init__(self) -> None:
        self.counts: Counts = Counter()

    def send(self, client: httpx.Client, call: Call, **parameters: str) -> str:
        to_send = row_request(call, {"facedb": "default", **parameters})
        body = self.answered(call, client.request(to_send.method, to_send.target, data=to_send.form or None))
        return body["message"][0]["person_id"] if call is ADD_FACE and body["status"] == "OK" else ""

    def answered(self, call: Call, answer: httpx.Response) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        self.counts[call.name, Status(body["status"])] += 1
        return body


def test_every_answer_of_every_call_is_counted_once(service: Service, tenant: str) -> None:
    book = Book()
    too_large = b64(b"\xff\xd8\xff".ljust(MAX_IMAGE_BYTES + 1, b"\0"))
    with caller(service, tenant) as client, caller(service, tenant, rate=1e-6) as limited:
        for call in (ADD_FACE, SEARCH_FACE):
            for image in (too_large, b64(b"text"), b64(faceless_png()), "%"):
                book.send(client, call, img=image)
        book.send(client, SEARCH_FACE, img=b64(hopper_jpeg()))
        person_id = book.send(client, ADD_FACE, img=b64(hopper_jpeg()))
        for image in (hopper_jpeg(), astronaut_png(), hopper_jpeg()):
            book.send(client, SEARCH_FACE, img=b64(image))
        for image in (hopper_jpeg(), b"text", faceless_png(), b"\xff\xd8\xff".ljust(MAX_IMAGE_BYTES + 1, b"\0"), b""):
            book.send(client, COMPARE_FACES, img1=b64(hopper_jpeg()), img2=b64(image))
        for wanted in (person_id, person_id, "x", ""):
            book.send(client, DELETE_FACE, person_id=wanted)
            book.send(client, GET_PERSON, person_id=wanted)
            book.send(client, UPDATE_PERSON, person_id=wanted, name="x")
            book.send(client, DELETE_PERSON, person_id=wanted)
            book.send(client, DELETE_FACE_OF_PERSON, person_id=wanted, face_id=wanted)
            book.send(client, SEARCH_FACE, person_id=wanted)
        book.send(client, ADD_FACE, img=b64(hopper_jpeg()), person_id=person_id)
        person_id = book.send(client, ADD_FACE, img=b64(hopper_jpeg()))
        book.send(client, DELETE_FACE_OF_PERSON, person_id=person_id, face_id=person_id)
        book.send(client, DELETE_FACE_OF_PERSON, person_id=person_id, face_id=person_id, facedb="a b")
        person_id = book.send(client, ADD_FACE, img=b64(hopper_jpeg()))
        for call in (LIST_PERSONS, LIST_FACEDBS, GET_PERSON, UPDATE_PERSON, DELETE_PERSON):
            book.send(client, call, person_id=person_id, external_id="x")
            book.send(client, call, facedb="a b", limit="0", person_id="x")
        book.answered(LIST_FACEDBS, client.request("GET", LIST_FACEDBS.path, content=b"facedb=default"))
        for call in (DELETE_FACE, *CALLS):  # the first uses up the rate of the key
            book.send(limited, call)
    assert set(book.counts) == {(call.name, status) for call in CALLS for status in call.statuses}
    wait_for(lambda: counted(service.broker, tenant).total() == book.counts.total())
    assert counted(service.broker, tenant) == book.counts


def test_requests_with_unknown_keys_are_counted_together(service: Service) -> None:
    before = counted(service.broker, NOBODY)[SEARCH_FACE.name, Status.INVALID_REQUEST]
    for key in ("wrong", ""):
        httpx.post(f"{service.address}/v1/searchface", headers={"X-API-Key": key})
    httpx.get(f"{service.address}/v1/searchface")  # no call: another method
    wait_for(lambda: counted(service.broker, NOBODY)[SEARCH_FACE.name, Status.INVALID_REQUEST] == before + 2)


def test_a_path_with_additional_slashes_counts_as_that_call(service: Service, tenant: str) -> None:
    with caller(service, tenant) as client:
        for path in ("//v1/delface", "/v1/delface/"):
            assert (
                client.post(service.address + path, data={"person_id": "x"}).json()["status"] == "PERSON_ID_NOT_EXIST"
            )
    wait_for(lambda: counted(service.broker, tenant) == {(DELETE_FACE.name, Status.PERSON_ID_NOT_EXIST): 2})


@pytest.mark.slow
@pytest.mark.embedded("it ends servers of its own, and looks at what they kept")
class TestEnds:
    def test_a_stopped_gateway_loses_no_count(self, tmp_path: Path) -> None:
        with Service(tmp_path) as service:
            tenant, book = new_tenant(service), Book()
            with caller(service, tenant) as client:
                for _ in range(3):
                    for _ in range(20):
                        book.send(client, DELETE_FACE, person_id="x")
                    self.end(service.child("-m gateway"), signal.SIGTERM)
                    assert counted(service.broker, tenant) == book.counts
            service.stop()
        with Service(tmp_path) as again:
            assert counted(again.broker, tenant) == book.counts

    def test_a_killed_gateway_or_broker_loses_no_flushed_count(self, tmp_path: Path) -> None:
        with Service(tmp_path) as service:
            tenant, book = new_tenant(service), Book()
            with caller(service, tenant) as client:
                for _ in range(20):
                    book.send(client, DELETE_FACE, person_id="x")
                wait_for(lambda: counted(service.broker, tenant) == book.counts)
                flushed = book.counts.copy()
                for _ in range(20):
                    book.send(client, DELETE_FACE, person_id="x")
                self.end(service.child("-m gateway"), signal.SIGKILL)
                kept = counted(service.broker, tenant)
                assert flushed <= kept <= book.counts

                # Counts without a broker are kept in memory.
                book.counts = kept
                self.post_when_possible(client, book)
                self.end(service.child("broker.sock"), signal.SIGKILL)
                self.post_when_possible(client, book)
                # Without a broker a gateway may not know the key.
                wait_for(lambda: counted(service.broker, tenant) + counted(service.broker, NOBODY) == book.counts)

    @staticmethod
    def end(process: psutil.Process, number: int) -> None:
        os.kill(process.pid, number)
        process.wait(20)

    @staticmethod
    def post_when_possible(client: httpx.Client, book: Book) -> None:
        """Repeat a request until its answer is not FAIL; the FAILs are counted as well."""

        def answered() -> bool:
            before = book.counts[DELETE_FACE.name, Status.PERSON_ID_NOT_EXIST]
            try:
                book.send(client, DELETE_FACE, person_id="x")
            except httpx.TransportError:
                return False
            return book.counts[DELETE_FACE.name, Status.PERSON_ID_NOT_EXIST] > before

        wait_for(answered)
