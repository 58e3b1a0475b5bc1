"""Answers in idempotency records: those that name a deleted face are erased, and the others stay."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from shared.asynchronous import key_of
from shared.contract import Status
from shared.control import Control
from shared.control.layout import TENANT_IDS
from shared.idempotency import record
from shared.jobs import Outcome
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.memory import MemoryStore
from worker.upkeep.kept_answers import ERASED, ERASED_JOB, forget_deleted

SPACE = Identity("test", "0" * 64, 1, 4)
FINE = {"size": 110, "sharpness": 0.8, "dark": 0, "bright": 0, "yaw": 0, "pitch": 0}


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
async def collections(valkey_url: str) -> dict[str, str]:
    """The collections of the default facedb of two tenants."""
    async with AsyncRedis.from_url(valkey_url) as client:
        control = Control(client)
        for tenant in ("shop", "bank"):
            await control.create_tenant(tenant)
        return {tenant: (await control.facedbs(tenant))[0].collection for tenant in ("shop", "bank")}


class Kept:
    """Idempotency records in Redis, and faces in a store."""

    def __init__(self, redis: Redis, collections: dict[str, str]) -> None:
        self.redis, self.collections = redis, collections
        self.store = MemoryStore(SPACE)

    def face(self, tenant: str, identity: Identity = SPACE) -> str:
        """Add a face and return its id."""
        point = Point(uuid.uuid4(), "Ada", np.eye(4, dtype=np.float32)[0])
        self.store.under(identity).add(self.collections[tenant], [point])
        return str(point.person_id)

    def answer(self, tenant: str, message: Any, status: Status = Status.OK) -> str:
        """Keep such an answer and return the key of its record."""
        known_by = self.redis.hget(TENANT_IDS, tenant)
        key = record(tenant if known_by is None else known_by.decode(), uuid.uuid4().hex)
        outcome = Outcome(status=status, message=message).model_dump_json()
        self.redis.hset(key, mapping={"asked": "x", "origin": "0" * 32, "outcome": outcome})
        self.redis.expire(key, 500)
        return key

    def now(self, key: str) -> Outcome:
        return Outcome.model_validate_json(self.redis.hget(key, "outcome"))

    def forget(self) -> int:
        return forget_deleted(self.redis, self.store, lambda: None)


@pytest.fixture
def kept(redis: Redis, collections: dict[str, str]) -> Kept:
    return Kept(redis, collections)


def added(*ids: str) -> list[dict[str, str]]:
    return [{"name": "Ada", "person_id": one} for one in ids]


def found(*ids: str) -> list[dict[str, Any]]:
    return [{"confidence": 100, "name": "Ada", "person_id": one} for one in ids]


def searched(*ids: str) -> list[dict[str, Any]]:
    """Return the answer to a search for every face of a photo, of which the first has no match."""
    face = {"box": [1, 2, 3, 4], "quality": FINE}
    return [{**face, "matches": []}, {**face, "matches": found(*ids)}]


def changed(one: str) -> dict[str, Any]:
    """Return the answer to a change of a person."""
    return {"person_id": one, "name": "Ada", "added": None, "metadata": {"floor": 3}, "faces": 1}


def test_an_answer_that_names_a_deleted_face_is_erased(kept: Kept) -> None:
    there, gone = kept.face("shop"), str(uuid.uuid4())
    erased = [
        kept.answer("shop", added(gone)),
        kept.answer("shop", added(there, gone)),
        kept.answer("shop", found(gone)),
        kept.answer("shop", searched(there, gone)),
        kept.answer("shop", changed(gone)),
        kept.answer("dropped", added(gone)),
    ]
    assert kept.forget() == len(erased)
    for key in erased:
        assert kept.now(key) == ERASED
        assert kept.redis.hget(key, "asked") == b"x", "the record stays: a repetition must do nothing"
        assert 0 < kept.redis.ttl(key) <= 500
    assert kept.forget() == 0, "an erased answer names no face"


def test_all_other_answers_stay(kept: Kept) -> None:
    there, gone = kept.face("shop"), str(uuid.uuid4())
    stays = [
        kept.answer("shop", added(there)),
        kept.answer("shop", found(there)),
        kept.answer("shop", searched(there)),
        kept.answer("shop", changed(there) | {"metadata": {"person_id": "their own", "of": [{"person_id": gone}]}}),
        kept.answer("shop", "successfully deleted face"),
        kept.answer("shop", {"similarity": 99, "result": "SAME PERSON"}),
        kept.answer("shop", "no similar face in db", Status.NO_SIMILAR_FACE),
    ]
    waiting = record("shop", "no answer yet")
    kept.redis.hset(waiting, mapping={"asked": "x", "origin": "0" * 32})
    before = [kept.now(key) for key in stays]
    assert kept.forget() == 0
    assert [kept.now(key) for key in stays] == before
    assert not kept.redis.hexists(waiting, "outcome")


def test_answers_that_name_faces_of_another_preprocessing_stay(kept: Kept) -> None:
    there = kept.face("shop", replace(SPACE, version=2))
    stays = kept.answer("shop", added(there))
    gone = kept.answer("shop", added(str(uuid.uuid4())))
    assert kept.forget() == 1
    assert (kept.now(stays).message, kept.now(gone)) == (added(there), ERASED)


def test_the_outcome_of_an_asynchronous_job_that_names_a_deleted_face_is_erased(kept: Kept) -> None:
    there, gone = kept.face("shop"), str(uuid.uuid4())
    jobs = {}
    for face in (there, gone):
        jobs[face] = key_of(f"{'0' * 12}.{face.replace('-', '')}")
        outcome = Outcome(status=Status.OK, message=added(face)).model_dump_json()
        tenant = kept.redis.hget(TENANT_IDS, "shop")
        kept.redis.hset(jobs[face], mapping={"tenant": tenant, "status": "OK", "outcome": outcome})
    assert kept.forget() == 1
    assert (kept.now(jobs[there]).message, kept.now(jobs[gone])) == (added(there), ERASED_JOB)


def test_an_unreadable_answer_is_erased(kept: Kept) -> None:
    key = kept.answer("shop", "x")
    kept.redis.hset(key, "outcome", '{"name": "Ada"}')
    assert kept.forget() == 1
    assert kept.now(key) == ERASED
