"""What a worker says to the fair queue, to a broker that is there and to one that is not."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError

from shared.fair_queue import ANNOUNCE, DONE, TENANT, extra_threads
from worker.delivery.fair_queue import FairQueueClient

JOB = f"{'0' * 12}.{'0' * 32}"


class Broker:
    """Keeps what scripts are called with; a stand-in for Redis, which tests/integration has."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Sequence[Any]]] = []
        self.away = False

    def register_script(self, text: str) -> Any:
        def call(args: Sequence[Any]) -> None:
            if self.away:
                raise RedisConnectionError
            self.said.append((text, args))

        return call


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.mark.parametrize(("threads", "extra"), [(1, 1), (2, 1), (3, 1), (4, 2), (32, 16)])
def test_it_announces_its_threads_and_half_as_many(broker: Broker, threads: int, extra: int) -> None:
    FairQueueClient(broker, threads).announce()
    ((script, (_, *said, _ttl)),) = broker.said
    assert (script, said) == (ANNOUNCE, [threads, extra])
    assert extra_threads(threads) == extra


def test_it_takes_its_threads_back_when_it_stops(broker: Broker) -> None:
    client = FairQueueClient(broker, 2)
    client.start()
    client.stop()
    first, last = broker.said[0][1], broker.said[-1][1]
    assert first[0] == last[0]
    assert list(last[1:3]) == [0, 0]


def test_a_job_that_ends_well_or_not_makes_way_for_the_next(broker: Broker) -> None:
    client = FairQueueClient(broker, 2)
    with client.job(JOB, {TENANT: "shop"}):
        assert broker.said == []
    with pytest.raises(ZeroDivisionError), client.job(JOB, {TENANT: "shop"}):
        raise ZeroDivisionError
    assert [(script, list(said[:2])) for script, said in broker.said] == [(DONE, ["shop", JOB])] * 2
    assert all(said[2] >= 0 for _, said in broker.said)


@pytest.mark.parametrize("headers", [{}, {TENANT: None}, {TENANT: ["shop"]}])
def test_a_job_of_a_gateway_that_knows_no_fair_queue_is_done_too(broker: Broker, headers: dict[str, Any]) -> None:
    with FairQueueClient(broker, 2).job(JOB, headers):
        pass
    assert broker.said == []


def test_a_job_is_done_though_the_broker_is_away(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    broker.away = True
    client = FairQueueClient(broker, 2)
    with client.job(JOB, {TENANT: "shop"}):
        pass
    client.start()
    client.stop()
    assert "turn_not_ended" in capsys.readouterr().out
