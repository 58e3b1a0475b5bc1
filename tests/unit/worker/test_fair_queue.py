"""The worker's side of the fair queue, with a stand-in for the broker."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError

from shared.fair_queue import ANNOUNCE, DONE, TENANT, extra_threads
from worker.delivery.fair_queue import FairQueueClient

JOB = f"{'0' * 12}.{'0' * 32}"


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
def test_it_announces_its_threads_and_half_as_many_extra_ones(broker: Broker, threads: int, extra: int) -> None:
    FairQueueClient(broker, threads).announce()
    ((script, (_, *said, _ttl)),) = broker.calls
    assert (script, said) == (ANNOUNCE, [threads, extra])
    assert extra_threads(threads) == extra


def test_it_withdraws_its_announcement_when_it_stops(broker: Broker) -> None:
    client = FairQueueClient(broker, 2)
    client.start()
    client.stop()
    first, last = broker.calls[0][1], broker.calls[-1][1]
    assert first[0] == last[0]
    assert list(last[1:3]) == [0, 0]


def test_a_job_is_reported_as_done_whether_or_not_it_fails(broker: Broker) -> None:
    client = FairQueueClient(broker, 2)
    with client.job(JOB, {TENANT: "shop"}):
        assert broker.calls == []
    with pytest.raises(ZeroDivisionError), client.job(JOB, {TENANT: "shop"}):
        raise ZeroDivisionError
    assert [(script, list(said[:2])) for script, said in broker.calls] == [(DONE, ["shop", JOB])] * 2
    assert all(said[2] >= 0 for _, said in broker.calls)


@pytest.mark.parametrize("headers", [{}, {TENANT: None}, {TENANT: ["shop"]}])
def test_a_job_of_a_gateway_without_a_fair_queue_is_not_reported(broker: Broker, headers: dict[str, Any]) -> None:
    with FairQueueClient(broker, 2).job(JOB, headers):
        pass
    assert broker.calls == []


def test_without_a_broker_a_job_is_done_with_a_warning(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    broker.away = True
    client = FairQueueClient(broker, 2)
    with client.job(JOB, {TENANT: "shop"}):
        pass
    client.start()
    client.stop()
    assert "turn_not_ended" in capsys.readouterr().out
