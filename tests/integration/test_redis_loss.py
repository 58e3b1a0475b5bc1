"""The broker is lost while jobs run: requests are answered, and the service recovers by itself."""

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from redis import Redis

from portraits import hopper_jpeg
from processes import broker, wait_for
from service import Service
from shared.broker import UNACKED
from shared.redis_clients import connect, connect_blocking
from worker.delivery.broker_watch import BrokerWatch

pytestmark = pytest.mark.slow

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


class TestBrokerWatch:
    @pytest.fixture
    def redis(self, valkey_url: str) -> Iterator[Redis]:
        with connect_blocking(valkey_url) as client:
            yield client

    def test_the_watch_does_nothing_while_the_broker_answers(self, redis: Redis) -> None:
        lost = Mock()
        watch = BrokerWatch(redis, lost)
        watch.start()
        wait_for(lambda: redis.info("commandstats").get("cmdstat_ping", {}).get("calls", 0) >= 2)
        watch.stop()
        lost.assert_not_called()

    def test_a_broken_connection_is_a_loss_even_if_the_broker_is_back(self, redis: Redis) -> None:
        lost = Mock()
        watch = BrokerWatch(redis, lost)
        connection = redis.client_id()  # of the only one in its pool, which it will watch
        watch.start()
        redis.client_kill_filter(_id=connection)
        wait_for(lambda: lost.called)
        assert redis.ping()
        watch.check()
        watch.stop()
        lost.assert_called_once()

    def test_a_missing_broker_is_a_loss(self, tmp_path: Path) -> None:
        lost = Mock()
        with broker(tmp_path) as url:
            redis = connect_blocking(url)
            watch = BrokerWatch(redis, lost)
            watch.start()
        wait_for(lambda: lost.called)
        watch.stop()
        redis.close()


async def test_connections_that_the_broker_closed_are_not_used_again(valkey_url: str) -> None:
    async with connect(valkey_url) as client, connect(valkey_url) as other:
        connections = set(await asyncio.gather(*(client.client_id() for _ in range(5))))
        assert len(connections) == 5
        for connection in connections:
            await other.client_kill_filter(_id=connection)
        await other.ping()  # answered after they were closed
        assert not connections & set(await asyncio.gather(*(client.client_id() for _ in range(5))))


def add(service: Service) -> tuple[str, str]:
    """Add a face and return the status and its id, if it was added."""
    try:
        answer = service.http.post("/v1/addface", data=IMG).json()
    except httpx.TransportError as error:
        return type(error).__name__, ""
    return answer["status"], answer["message"][0]["person_id"] if answer["status"] == "OK" else ""


@pytest.mark.embedded("it kills its broker")
def test_the_service_recovers_from_a_broker_killed_while_every_thread_works(tmp_path: Path) -> None:
    added: list[str] = []
    with (
        Service(tmp_path, {"FACESEARCH_DEADLINE_S": "30", "FACESEARCH_WORKER_THREADS": "2"}) as service,
        ThreadPoolExecutor(14) as callers,
    ):
        for _ in range(3):
            with Redis.from_url(service.broker) as redis:
                asked = [callers.submit(add, service) for _ in range(14)]
                wait_for(lambda redis=redis: redis.hlen(UNACKED) == 2)
            worker = service.child("-m worker")
            service.child("broker.sock").kill()
            answers = [answer.result() for answer in asked]
            assert {status for status, _ in answers} <= {"OK", "FAIL"}
            added += [person_id for status, person_id in answers if status == "OK"]
            wait_for(lambda: add(service)[0] == "OK", 60)
            wait_for(lambda worker=worker: not worker.is_running())  # it had lost the broker
        answer = service.http.post("/v1/searchface", data=IMG).json()
        assert set(added) <= {match["person_id"] for match in answer["message"]}  # 45 of the 50 that are listed
