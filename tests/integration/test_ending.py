"""The script that ends a job, on a real Valkey."""

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from shared.broker import RESULT_PREFIX, UNACKED, UNACKED_INDEX
from shared.contract import Status
from shared.fair_queue import ANNOUNCE, ENTER, TENANT, item
from shared.jobs import QUEUE, Outcome, SearchJob
from worker.delivery.ending import Endings
from worker.thread_connections import ThreadConnections

JOB = SearchJob(job_id=f"{'0' * 12}.{'0' * 32}", deadline=2e9, collection="a.b.00000000")
KEY = RESULT_PREFIX + JOB.job_id
FIRST = Outcome(status=Status.OK, message="deleted")
SECOND = Outcome(status=Status.PERSON_ID_NOT_EXIST, message="no such face")


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    """A broker on which a worker with one thread has taken the job, and another of the same tenant waits."""
    with Redis.from_url(valkey_url) as client:
        client.register_script(ANNOUNCE)(args=["worker", 1, 0, 60])
        enter = client.register_script(ENTER)
        for job_id, message in ((JOB.job_id, "taken"), ("other", "waits")):
            enter(args=["shop", job_id, item(job_id, JOB.deadline, message)])
        assert client.rpop(QUEUE) == b"taken"
        client.hset(UNACKED, "tag", "taken")
        client.zadd(UNACKED_INDEX, {"tag": 1})
        yield client


def end(redis: Redis, outcome: Outcome) -> bool:
    with Endings(ThreadConnections(redis), 15, set()).job(JOB, {TENANT: "shop"}, "tag") as ending:
        ending.outcome = outcome
    return ending.complete


def kept(redis: Redis) -> Outcome:
    return Outcome.model_validate(json.loads(redis.get(KEY))["result"])


def test_the_outcome_is_stored_and_published_the_message_acknowledged_and_the_next_job_released(redis: Redis) -> None:
    with redis.pubsub() as listening:
        listening.subscribe(KEY)
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        assert end(redis, FIRST)
        assert listening.get_message(timeout=5)["data"] == redis.get(KEY)
    assert kept(redis) == FIRST
    assert 0 < redis.ttl(KEY) <= 15
    assert not redis.exists(UNACKED, UNACKED_INDEX)
    assert redis.lrange(QUEUE, 0, -1) == [b"waits"]
    assert redis.hgetall("fs:fair:running") == {b"shop": b"1"}


def test_the_first_outcome_of_a_job_counts(redis: Redis) -> None:
    assert end(redis, FIRST)
    assert end(redis, SECOND)
    assert kept(redis) == FIRST


def test_on_a_full_broker_nothing_is_done_and_there_is_no_outcome(redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        assert not end(redis, FIRST)
    finally:
        redis.config_set("maxmemory", 0)
    assert not redis.exists(KEY)
    assert redis.hexists(UNACKED, "tag")
    assert redis.zscore(UNACKED_INDEX, "tag") == 1
