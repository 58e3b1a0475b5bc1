"""A job that a worker took and lost is dispatched again; a waiting job is not."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

import httpx
import pytest
from redis import Redis

from processes import gateway_on, wait_for
from shared.broker import UNACKED, UNACKED_INDEX
from shared.jobs import QUEUE
from worker.delivery.redelivery import Redelivery
from worker.delivery.time_limit import TimeLimit

pytestmark = pytest.mark.slow

NOBODY = {"person_id": "00000000-0000-0000-0000-000000000000"}


@pytest.fixture
def client(valkey_url: str) -> Iterator[httpx.Client]:
    """A gateway without workers: the test takes the jobs."""
    with gateway_on(valkey_url, deadline_s=4, visibility_timeout_s=1) as running:
        yield running


@pytest.fixture
def broker(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as redis:
        yield redis


def test_a_lost_job_is_dispatched_again(client: httpx.Client, broker: Redis) -> None:
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(client.post, "/v1/delface", data=NOBODY)
        wait_for(lambda: broker.llen(QUEUE) == 1)
        first = broker.rpop(QUEUE)  # as a worker does that is then killed
        wait_for(lambda: broker.llen(QUEUE) == 1)
        again = broker.lindex(QUEUE, 0)
        assert job_id(again) == job_id(first)
        assert answer.result().json()["status"] == "FAIL"


def test_a_lost_job_is_dispatched_again_while_workers_have_other_jobs(client: httpx.Client, broker: Redis) -> None:
    with ThreadPoolExecutor(1) as caller:
        broker.hset(UNACKED, "tag", "some other job")
        answer = caller.submit(client.post, "/v1/delface", data=NOBODY)
        wait_for(lambda: broker.llen(QUEUE) == 1)
        broker.rpop(QUEUE)
        wait_for(lambda: broker.llen(QUEUE) == 1)
        answer.result()


def test_a_job_that_a_worker_has_is_not_dispatched_again(client: httpx.Client, broker: Redis) -> None:
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(client.post, "/v1/delface", data=NOBODY)
        wait_for(lambda: broker.llen(QUEUE) == 1)
        taken = broker.lindex(QUEUE, 0)
        broker.hset(UNACKED, json.loads(taken)["properties"]["delivery_tag"], taken)  # as kombu records it
        broker.rpop(QUEUE)
        assert answer.result().json()["status"] == "FAIL"  # long after the visibility timeout
        assert broker.llen(QUEUE) == 0


def test_waiting_for_a_processor_postpones_redelivery(broker: Redis) -> None:
    class Waited(TimeLimit):
        def new_waits(self) -> dict[str, float]:
            return {"runs": 2.5, "is done": 1.0}

    broker.zadd(UNACKED_INDEX, {"runs": 1000.0, "other": 1000.0})
    Redelivery(broker, Waited(4)).extend()
    assert broker.zrange(UNACKED_INDEX, 0, -1, withscores=True) == [(b"other", 1000.0), (b"runs", 1002.5)]


def test_no_job_is_dispatched_again_while_jobs_wait(client: httpx.Client, broker: Redis) -> None:
    with ThreadPoolExecutor(3) as callers, broker.monitor() as monitor:
        commands = monitor.listen()
        answers = [callers.submit(client.post, "/v1/delface", data=NOBODY) for _ in range(3)]
        assert {answer.result().json()["status"] for answer in answers} == {"FAIL"}
        broker.echo("the end")
        seen = [command["command"] for command in takewhile(lambda each: "the end" not in each["command"], commands)]
    assert sum(command.startswith(f"LPUSH {QUEUE} ") for command in seen) == 3


def test_a_job_leaves_the_queue_when_its_request_ends(client: httpx.Client, broker: Redis) -> None:
    others = [b"a job", b"another"]
    broker.lpush(QUEUE, others[1])
    assert client.post("/v1/delface", data=NOBODY).json()["status"] == "FAIL"
    broker.lpush(QUEUE, others[0])
    wait_for(lambda: broker.lrange(QUEUE, 0, -1) == others)


def job_id(message: bytes) -> bytes:
    """Return the id of a task message, from its header "id"."""
    return message.split(b'"id": "')[1].split(b'"')[0]
