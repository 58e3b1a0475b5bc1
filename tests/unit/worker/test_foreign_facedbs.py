"""Facedbs of another identity: what is reported of them, and when a worker refuses to start."""

import re
import uuid
from typing import Self

import numpy as np
import pytest

from shared.control import Facedb
from shared.control.layout import TENANTS, facedb_key, facedbs_key, now
from shared.errors import OperatorError
from shared.observability.tracing import NoTraces
from worker.metrics import Metrics
from worker.models import catalog
from worker.models.identity import Identity, remedy
from worker.models.spaces import spaces_of
from worker.store.base import Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.upkeep.foreign_facedbs import ForeignFacedbs, describe

SPACES = spaces_of(catalog.find("sface-2021dec-int8bq", "embedding"))
OURS = SPACES.preferred
OTHER = spaces_of(catalog.find("sface-2021dec", "embedding")).preferred


def older(by: int = 1) -> Identity:
    return Identity(OURS.model, OURS.digest, OURS.version - by, OURS.dimension)


class Pipe:
    """The part of a pipeline that reads sets."""

    def __init__(self, sets: dict[str, set[bytes]]) -> None:
        self._sets, self._asked = sets, list[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def smembers(self, key: str) -> None:
        self._asked.append(key)

    def execute(self) -> list[set[bytes]]:
        return [self._sets.get(key, set()) for key in self._asked]


class Control:
    """A Redis with these facedbs of one tenant."""

    def __init__(self, *collections: str) -> None:
        names = [collection.split(".")[1] for collection in collections]
        self._sets = {TENANTS: {b"shop"}, facedbs_key("shop"): {name.encode() for name in names}}
        self._records = {
            facedb_key("shop", name): Facedb(name=name, collection=collection, created=now()).model_dump_json().encode()
            for name, collection in zip(names, collections, strict=True)
        }

    def smembers(self, key: str) -> set[bytes]:
        return self._sets.get(key, set())

    def pipeline(self, *, transaction: bool) -> Pipe:
        assert not transaction
        return Pipe(self._sets)

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self._records.get(key) for key in keys]


def store_with(**made_by: Identity) -> MemoryStore:
    """Return a store with one face in each of these facedbs."""
    store = MemoryStore(OURS)
    vector = np.zeros(OURS.dimension, np.float32)
    vector[0] = 1
    for name, space in made_by.items():
        store.under(space).add(f"shop.{name}.0", [Point(uuid.uuid4(), "", vector)])
    return store


def gauge(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("facesearch_facedbs_refused")


def watch(store: MemoryStore, *collections: str) -> tuple[ForeignFacedbs, Metrics]:
    metrics = Metrics(NoTraces())
    return ForeignFacedbs(Control(*collections), store, SPACES, metrics.refused), metrics  # type: ignore[arg-type] -- as much as it needs


class TestStart:
    def test_a_worker_with_only_foreign_facedbs_does_not_start(self) -> None:
        made, _ = watch(store_with(main=older(), staff=older()), "shop.main.0", "shop.staff.0")
        with pytest.raises(OperatorError) as refusal:
            made.require_something_served()
        message = str(refusal.value)
        assert message.startswith("nothing could be served: the faces of shop.main.0 (facedb main of tenant shop), ")
        assert (
            f"were made by {older()}, and this service makes {OURS}; they were added by an earlier release" in message
        )
        assert "go back to that release, or add the faces again, from your photos (the service keeps none)" in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("made_by", "facedbs"),
        [
            ({}, []),
            ({}, ["main"]),
            ({"main": OURS}, ["main"]),
            ({"main": OURS, "staff": older()}, ["main", "staff"]),
            ({"main": older()}, ["main", "new"]),  # empty, so that faces can be added again
            ({"gone": older()}, ["main"]),  # dropped, but not removed yet
        ],
    )
    def test_a_worker_with_a_facedb_of_its_own_identity_or_an_empty_one_starts(
        self, made_by: dict[str, Identity], facedbs: list[str]
    ) -> None:
        made, _ = watch(store_with(**made_by), *(f"shop.{name}.0" for name in facedbs))
        made.require_something_served()

    def test_a_worker_serves_facedbs_of_every_preprocessing_that_it_knows(self) -> None:
        known = {f"v{preprocessing.version}": identity for identity, preprocessing in SPACES.preprocessings.items()}
        made, metrics = watch(store_with(**known), *(f"shop.{name}.0" for name in known))
        made.require_something_served()
        assert made.summary() == (0, "")
        assert gauge(metrics) == 0

    def test_a_worker_starts_while_the_store_does_not_answer(self) -> None:
        store = store_with(main=older())
        store.close()
        with pytest.raises(StoreUnavailable):
            store.identities(["shop.main.0"])
        watch(store, "shop.main.0")[0].require_something_served()


class TestReports:
    def test_foreign_facedbs_are_reported_until_they_are_dropped(self) -> None:
        store = store_with(main=OURS, staff=older())
        made, metrics = watch(store, "shop.main.0", "shop.staff.0")
        assert gauge(metrics) == 0
        made.check()
        count, reason = made.summary()
        assert count == gauge(metrics) == 1
        assert reason.startswith("the faces of shop.staff.0 (facedb staff of tenant shop) were made by ")
        store.drop("shop.staff.0")
        made.check()
        assert made.summary() == (0, "")
        assert gauge(metrics) == 0

    def test_foreign_facedbs_are_reported_while_the_store_is_away(self) -> None:
        store = store_with(main=OURS, staff=older())
        made, metrics = watch(store, "shop.main.0", "shop.staff.0")
        made.check()
        store.close()
        made.check()
        assert made.summary()[0] == gauge(metrics) == 1

    def test_many_foreign_facedbs_are_counted(self) -> None:
        found = {f"shop.f{number}.0": str(older()) for number in range(8)}
        message = describe(found, OURS, {})
        assert "shop.f0.0, shop.f1.0, shop.f2.0, shop.f3.0, shop.f4.0 and 3 more were made by" in message

    def test_each_identity_has_its_own_advice(self) -> None:
        message = describe({"shop.a.0": str(OTHER), "shop.b.0": ""}, OURS, {})
        assert re.search(
            r"shop\.a\.0 were made by sface-2021dec:.*set FACESEARCH_EMBEDDER=sface-2021dec again", message
        )
        assert "the faces of shop.b.0 were made by somebody else" in message


@pytest.mark.parametrize(
    ("stored", "advice"),
    [
        (OTHER, "set FACESEARCH_EMBEDDER=sface-2021dec again, or add the faces again"),
        (Identity("own", "1" * 64, 4003, 512), "set FACESEARCH_EMBEDDER=own again, or add the faces again"),
        (
            Identity(OTHER.model, OTHER.digest, OTHER.version - 1, 128),
            "set FACESEARCH_EMBEDDER=sface-2021dec again and go back to the release that added them, or add",
        ),
        (
            older(),
            "they were added by an earlier release, which saw faces differently: go back to that release, or add",
        ),
        (
            older(-90),
            "they were added by a later release, which sees faces differently: go back to that release, or add",
        ),
        (
            Identity(OURS.model, "1" * 64, OURS.version, 128),
            "the file of sface-2021dec-int8bq is another one now: put back the former, or add the faces again",
        ),
    ],
    ids=["another embedder", "one of one's own", "another and a release", "earlier", "later", "another file"],
)
def test_the_advice_fits_the_identity(stored: Identity, advice: str) -> None:
    assert remedy(str(stored), OURS).startswith(advice)
