"""An erasure that a worker is asked for: it is done once, beside the jobs, and whoever waits learns how it ended."""

import threading
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from redis import Redis

from processes import wait_for
from shared.control import DROPPED
from shared.erasure_request import REQUEST, Progress, Request, progress_key
from worker.models.identity import Identity
from worker.store.base import Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.upkeep.erasure import Erasures, erase

SPACE = Identity("test", "0" * 64, 1, 4)


class Held(MemoryStore):
    """A store that takes its time to compact until it is let go, and cannot remove what is stuck."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.go = threading.Event()
        self.reached = threading.Event()
        self.stuck: set[str] = set()
        self.compacted: list[str] = []

    def drop(self, collection: str) -> None:
        if collection in self.stuck:
            raise StoreUnavailable("the disk is away")
        super().drop(collection)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        self.reached.set()
        while not self.go.wait(0.01):
            rest()
        self.compacted.append(collection)
        return True

    def filled(self, *collections: str) -> None:
        for collection in collections:
            self.add(collection, [Point(uuid.uuid4(), "x", np.eye(4, dtype=np.float32)[0])])


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def store() -> Held:
    return Held()


def requested(redis: Redis) -> str:
    """The key under which its progress is told."""
    request = Request(id=uuid.uuid4().hex)
    redis.set(REQUEST, request.model_dump_json(), ex=15)
    return progress_key(request.id)


def told(redis: Redis, key: str) -> Progress:
    return Progress.model_validate_json(redis.get(key) or Progress().model_dump_json())


def test_what_was_dropped_goes_before_its_time_and_stays_due(redis: Redis, store: Held) -> None:
    store.filled("t.dropped.1", "t.kept.2")
    redis.zadd(DROPPED, {"t.dropped.1": 2**40})
    store.go.set()
    done = erase(redis, store, lambda _: None)
    assert (done.state, done.removed, done.compacted) == ("done", 1, 1)
    assert store.collections() == ["t.kept.2"]
    assert redis.zscore(DROPPED, "t.dropped.1") == 2**40, "a job in flight may bring it back"


def test_what_cannot_be_done_holds_up_nothing_else(redis: Redis, store: Held) -> None:
    store.filled("t.stuck.1", "t.gone.2", "t.kept.3")
    redis.zadd(DROPPED, {"t.stuck.1": 1, "t.gone.2": 2})
    store.stuck.add("t.stuck.1")
    store.go.set()
    done = erase(redis, store, lambda _: None)
    assert (done.state, done.reason) == ("failed", "the disk is away")
    assert store.collections() == ["t.kept.3", "t.stuck.1"]
    assert "t.kept.3" in store.compacted


def test_of_two_workers_one_does_it(redis: Redis, store: Held) -> None:
    store.filled("t.a.1")
    store.go.set()
    key = requested(redis)
    for _ in range(2):
        Erasures(redis, store).poll()
    assert store.compacted == ["t.a.1"]
    assert told(redis, key).state == "done"


def test_without_anybody_who_waits_it_ends(redis: Redis, store: Held) -> None:
    store.filled("t.a.1")
    key = requested(redis)
    working = threading.Thread(target=Erasures(redis, store).poll)
    working.start()
    assert store.reached.wait(30)
    wait_for(lambda: told(redis, key).steps > 0)
    redis.delete(REQUEST)
    working.join()
    assert told(redis, key).reason == "nobody waits for it any more"
    assert store.compacted == []


def test_a_worker_that_is_stopped_says_so(redis: Redis, store: Held) -> None:
    store.filled("t.a.1")
    key = requested(redis)
    erasures = Erasures(redis, store)
    erasures.start()
    assert store.reached.wait(30)
    erasures.stop()
    assert told(redis, key).reason == "the worker was stopped"


def test_what_is_no_request_harms_nobody(redis: Redis, store: Held) -> None:
    redis.set(REQUEST, "{")
    Erasures(redis, store).poll()
    assert not store.reached.is_set()
