"""Which requests are counted, and that counters which could not be delivered are delivered later, exactly once."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from redis import ConnectionError as RedisConnectionError

from gateway.admin.usage import usage_answer
from gateway.calls import metering
from gateway.calls.metering import CALLER, METER, Meter, metered
from gateway.http.answers import answer
from gateway.http.middleware import errors
from shared.calls import ADD_FACE
from shared.contract import Status
from shared.control import Key, Scope
from shared.errors import InvalidRequest
from shared.usage import NOBODY, counter

KEY = Key(id="k1", tenant="t", name="n", scopes=frozenset(Scope), created=0)


class Broker:
    """Applies each batch once, as the script does. loses: what gets lost, `request` or `answer`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.last = 0
        self.loses: str | None = None
        self.batches = 0

    def register_script(self, _script: str) -> Callable[..., Any]:
        return self.add

    async def add(self, _keys: Sequence[str], args: Sequence[Any]) -> None:
        if self.loses == "request":
            raise RedisConnectionError
        number, pairs = args[0], args[3:]
        if number > self.last:
            self.batches += 1
            for name, count in zip(pairs[::2], pairs[1::2], strict=True):
                self.counts[name] = self.counts.get(name, 0) + count
            self.last = number
        if self.loses == "answer":
            raise RedisConnectionError


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def meter(broker: Broker) -> Meter:
    return Meter(broker, "gateway")


class TestDelivery:
    @pytest.mark.parametrize("lost", ["request", "answer"])
    async def test_a_batch_that_was_delivered_again_counts_once(self, broker: Broker, meter: Meter, lost: str) -> None:
        name = counter("t", "k1", ADD_FACE.name, Status.OK)
        meter.count(ADD_FACE, Status.OK, KEY)
        broker.loses = lost
        for _ in range(3):
            with pytest.raises(RedisConnectionError):
                await meter.flush()
            meter.count(ADD_FACE, Status.OK, KEY)
        broker.loses = None
        await meter.flush()
        assert broker.counts == {name: 1}
        await meter.flush()
        assert broker.counts == {name: 4}
        assert broker.batches == 2

    async def test_without_new_counts_nothing_is_sent(self, broker: Broker, meter: Meter) -> None:
        await meter.flush()
        assert broker.batches == 0

    async def test_each_day_has_a_batch_of_its_own(
        self, broker: Broker, meter: Meter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meter.count(ADD_FACE, Status.OK, KEY)
        monkeypatch.setattr(metering, "datetime", Tomorrow)
        meter.count(ADD_FACE, Status.OK, KEY)
        await meter.flush()
        assert broker.batches == 2

    async def test_memory_does_not_grow_with_requests(self, broker: Broker, meter: Meter) -> None:
        broker.loses = "request"
        for _ in range(50):
            for _ in range(100):
                meter.count(ADD_FACE, Status.OK, KEY)
            with pytest.raises(RedisConnectionError):
                await meter.flush()
        assert len(meter._batches) == len(meter._gathered) == 1
        broker.loses = None
        await meter.close()
        assert sum(broker.counts.values()) == 5000

    async def test_closing_waits_for_a_broker_that_recovers(
        self, broker: Broker, meter: Meter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metering, "RETRY_S", 0.01)
        meter.count(ADD_FACE, Status.OK, KEY)
        broker.loses = "answer"
        closing = asyncio.create_task(meter.close())
        while not broker.batches:
            await asyncio.sleep(0)
        broker.loses = None
        await closing
        assert sum(broker.counts.values()) == 1

    async def test_usage_that_cannot_be_delivered_is_logged(
        self, broker: Broker, meter: Meter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(metering, "CLOSE_S", 0.01)
        meter.count(ADD_FACE, Status.OK, KEY)
        broker.loses = "request"
        await meter.close()
        assert "usage_lost" in capsys.readouterr().out


class Tomorrow:
    """A clock that is a day ahead."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return datetime.now(zone) + timedelta(days=1)


async def test_only_calls_are_counted(meter: Meter) -> None:
    async def call(request: web.Request) -> web.Response:
        match request.headers["X-Do"]:
            case "ok":
                request[CALLER] = KEY
                return answer(Status.OK, "")
            case "crash":
                request[CALLER] = KEY
                raise ZeroDivisionError
            case _:
                raise InvalidRequest("no key")

    async def health(_request: web.Request) -> web.Response:
        return answer(Status.OK, "alive")

    app = web.Application(middlewares=[metered, errors])
    app[METER] = meter
    app.router.add_post("/v1/addface", call, name=ADD_FACE.name)
    app.router.add_get("/healthz", health)
    async with TestClient(TestServer(app)) as client:
        for action in ("ok", "ok", "crash", "refuse"):
            await client.post("/v1/addface", headers={"X-Do": action})
        await client.get("/v1/addface")  # 405
        await client.get("/healthz")
        await client.post("/v1/nothing")  # 404
    (counts,) = meter._gathered.values()
    assert counts == {
        counter("t", "k1", ADD_FACE.name, Status.OK): 2,
        counter("t", "k1", ADD_FACE.name, Status.FAIL): 1,
        counter(NOBODY, NOBODY, ADD_FACE.name, Status.INVALID_REQUEST): 1,
    }


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"from": "yesterday"}, "from must be a day"),
        ({"to": "2026-02-30"}, "to must be a day"),
        ({"format": "xml"}, "format must be json or csv"),
        ({"form": "csv"}, "query may have"),
    ],
)
async def test_a_malformed_query_is_refused(query: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        await usage_answer(None, query)
