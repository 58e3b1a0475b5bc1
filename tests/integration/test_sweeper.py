"""Dropped facedbs are removed from the store, and nothing else is."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from processes import wait_for
from shared.contract import Status
from shared.control import DEFAULT, DROPPED, Control
from shared.jobs import AddJob, image_key, new_gateway_id, new_job_id, new_request_id
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker import actions
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.base import Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.tasks import perform
from worker.upkeep.sweeper import Sweeper

SPACE = Identity("test", "0" * 64, 1, 4)


class Failing(MemoryStore):
    """A store that cannot remove some collections."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.stuck: set[str] = set()

    def drop(self, collection: str) -> None:
        if collection in self.stuck:
            raise StoreUnavailable("disk full")
        super().drop(collection)


@dataclass
class Scene:
    """A tenant, a store, and its sweeper."""

    control: Control
    store: Failing
    ledger: Ledger
    sweeper: Sweeper

    async def filled(self, name: str) -> str:
        """Create a facedb with a face in it and return its collection."""
        facedb = await self.control.create_facedb(DEFAULT, name)
        self.ledger.draw_names(self.job(facedb.collection), 3)
        self.store.add(facedb.collection, [Point(uuid.uuid4(), "x", np.eye(4, dtype=np.float32)[0])])
        return facedb.collection

    def job(self, collection: str) -> AddJob:
        job_id = new_job_id(new_gateway_id(), new_request_id())
        return AddJob(job_id=job_id, collection=collection, deadline=time.time() + 10, name="x")

    def due(self) -> int:
        return self.ledger.redis.zcard(DROPPED)


@pytest.fixture
async def scene(valkey_url: str) -> AsyncIterator[Scene]:
    with BlockingRedis.from_url(valkey_url) as blocking:
        async with Redis.from_url(valkey_url) as redis:
            control, store, ledger = Control(redis, drop_after_s=0), Failing(), Ledger(blocking, blocking)
            await control.create_tenant(DEFAULT)
            yield Scene(control, store, ledger, Sweeper(ledger, store))


async def test_due_collections_are_removed_with_their_counters_and_others_stay(scene: Scene) -> None:
    dropped, kept = await scene.filled("dropped"), await scene.filled("kept")
    await scene.control.drop_facedb(DEFAULT, "dropped")
    scene.sweeper.sweep()
    assert scene.store.collections() == [kept]
    assert not scene.ledger.redis.exists(f"fs:names:{dropped}")
    assert scene.ledger.redis.exists(f"fs:names:{kept}")
    assert scene.due() == 0


async def test_an_add_to_a_dropped_facedb_is_not_acknowledged(scene: Scene) -> None:
    dropped, kept = await scene.filled("dropped"), await scene.filled("kept")
    await scene.control.drop_facedb(DEFAULT, "dropped")
    runtime = Runtime(TableFaces(), SFACE, scene.store, scene.ledger, only(SPACE), Metrics(NoTraces()), 3)
    for collection, status in ((dropped, Status.FAIL), (kept, Status.OK)):
        job = scene.job(collection)
        scene.ledger.images.set(image_key(job.job_id), b"i")
        assert perform(job, actions.add, runtime).status is status
    assert (scene.store.count(dropped), scene.store.count(kept)) == (1, 2)


async def test_no_collection_is_removed_before_it_is_due(scene: Scene) -> None:
    collection = await scene.filled("dropped")
    await Control(scene.control.redis).drop_facedb(DEFAULT, "dropped")
    scene.sweeper.sweep()
    assert scene.store.collections() == [collection]
    assert scene.due() == 1


async def test_a_collection_that_cannot_be_removed_waits_and_does_not_stop_others(scene: Scene) -> None:
    collections = [await scene.filled(f"f{n}") for n in range(3)]
    for n in range(3):
        await scene.control.drop_facedb(DEFAULT, f"f{n}")
    scene.store.stuck = {collections[1]}
    scene.sweeper.sweep()
    assert scene.store.collections() == [collections[1]]
    scene.store.stuck = set()
    scene.sweeper.sweep()
    assert scene.store.collections() == []
    assert scene.due() == 0


async def test_several_workers_remove_collections_of_a_killed_one(scene: Scene) -> None:
    collection = await scene.filled("dropped")
    await scene.control.drop_facedb(DEFAULT, "dropped")
    scene.store.drop(collection)  # and then it was killed
    others = [Sweeper(scene.ledger, scene.store) for _ in range(4)]
    for other in others:
        other.start()
    wait_for(lambda: scene.due() == 0)
    for other in others:
        other.stop()


async def test_a_facedb_that_was_never_filled_is_removed(scene: Scene) -> None:
    await scene.control.create_facedb(DEFAULT, "empty")
    await scene.control.drop_facedb(DEFAULT, "empty")
    scene.sweeper.sweep()
    assert scene.due() == 0
