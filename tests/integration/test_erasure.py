"""A requested erasure: one worker does it beside its jobs, and the command learns the result."""

import threading
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from redis import Redis

from processes import wait_for
from shared.control import DROPPED
from shared.erasure_request import REQUEST, Progress
from shared.worker_request import Request, progress_key
from worker.models.identity import Identity
from worker.store.base import Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.upkeep.erasure import Erasures, erase

SPACE = Identity("test", "0" * 64, 1, 4)


class PausingStore(MemoryStore):
    """A store that pauses each compaction until it is released, and cannot remove `stuck` collections."""

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
def store() -> PausingStore:
    return PausingStore()


def requested(redis: Redis) -> str:
    """Request an erasure and return the key of its progress."""
    request = Request(id=uuid.uuid4().hex)
    redis.set(REQUEST, request.model_dump_json(), ex=15)
    return progress_key(REQUEST, request.id)


def progress(redis: Redis, key: str) -> Progress:
    return Progress.model_validate_json(redis.get(key) or Progress().model_dump_json())


def test_dropped_collections_are_removed_early_and_stay_due(redis: Redis, store: PausingStore) -> None:
    store.filled("t.dropped.1", "t.kept.2")
    redis.zadd(DROPPED, {"t.dropped.1": 2**40})
    store.go.set()
    done = erase(redis, store, lambda _: None)
    assert (done.state, done.removed, done.compacted, done.total) == ("done", 1, 1, 2)
    assert store.collections() == ["t.kept.2"]
    assert redis.zscore(DROPPED, "t.dropped.1") == 2**40, "a job in flight may bring it back"


def test_a_collection_that_cannot_be_removed_does_not_stop_the_others(redis: Redis, store: PausingStore) -> None:
    store.filled("t.stuck.1", "t.gone.2", "t.kept.3")
    redis.zadd(DROPPED, {"t.stuck.1": 1, "t.gone.2": 2})
    store.stuck.add("t.stuck.1")
    store.go.set()
    done = erase(redis, store, lambda _: None)
    assert (done.state, done.reason) == ("failed", "the disk is away")
    assert store.collections() == ["t.kept.3", "t.stuck.1"]
    assert "t.kept.3" in store.compacted


def test_one_of_two_workers_does_the_erasure(redis: Redis, store: PausingStore) -> None:
    store.filled("t.a.1")
    store.go.set()
    key = requested(redis)
    for _ in range(2):
        Erasures(redis, store).poll()
    assert store.compacted == ["t.a.1"]
    assert progress(redis, key).state == "done"


def test_an_erasure_ends_when_no_command_waits(redis: Redis, store: PausingStore) -> None:
    store.filled("t.a.1")
    key = requested(redis)
    working = threading.Thread(target=Erasures(redis, store).poll)
    working.start()
    assert store.reached.wait(30)
    wait_for(lambda: progress(redis, key).steps > 0)
    redis.delete(REQUEST)
    working.join()
    assert progress(redis, key).reason == "nobody waits for it any more"
    assert store.compacted == []


def test_a_stopped_worker_reports_it(redis: Redis, store: PausingStore) -> None:
    store.filled("t.a.1")
    key = requested(redis)
    erasures = Erasures(redis, store)
    erasures.start()
    assert store.reached.wait(30)
    erasures.stop()
    assert progress(redis, key).reason == "the worker was stopped"


def test_an_invalid_request_is_ignored(redis: Redis, store: PausingStore) -> None:
    redis.set(REQUEST, "{")
    Erasures(redis, store).poll()
    assert not store.reached.is_set()
