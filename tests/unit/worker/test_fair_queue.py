"""The announcement of a worker's threads, with a stand-in for the broker."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError

from shared.fair_queue import ANNOUNCE, extra_threads
from worker.delivery.fair_queue import FairQueueClient


class Broker:
    """A stand-in for Redis that records the calls of scripts; tests/integration has a real one."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Sequence[Any]]] = []
        self.away = False

    def register_script(self, text: str) -> Any:
        def call(args: Sequence[Any]) -> None:
            if self.away:
                raise RedisConnectionError
            self.calls.append((text, args))

        return call


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.mark.parametrize(("threads", "extra"), [(1, 1), (2, 1), (3, 1), (4, 2), (32, 16)])
def test_a_worker_announces_its_threads_and_half_as_many_extra_ones(broker: Broker, threads: int, extra: int) -> None:
    FairQueueClient(broker, threads).announce()
    ((script, (_, *announced, _ttl)),) = broker.calls
    assert (script, announced) == (ANNOUNCE, [threads, extra])
    assert extra_threads(threads) == extra


def test_a_worker_withdraws_its_announcement_when_it_stops(broker: Broker) -> None:
    client = FairQueueClient(broker, 2)
    client.start()
    client.stop()
    first, last = broker.calls[0][1], broker.calls[-1][1]
    assert first[0] == last[0]
    assert list(last[1:3]) == [0, 0]


def test_a_worker_starts_and_stops_without_a_broker(broker: Broker) -> None:
    broker.away = True
    client = FairQueueClient(broker, 2)
    client.start()
    client.stop()
    assert broker.calls == []
