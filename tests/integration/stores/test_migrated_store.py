"""A store in which a facedb has two collections, on every kind of store."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from every_store import OURS, THEIRS, Backend, face, faces_in, unit
from shared.control.migrations import Leftover, Migration, Stored
from worker.models.identity import Identity
from worker.store.base import Face, IdentityMismatch, Store
from worker.store.faces import with_faces, without_face
from worker.store.migrated import MigratedStore, point_of, put_face, remove_faces

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Scene:
    """A facedb of OURS that is being migrated to THEIRS."""

    def __init__(self, store: Store, db: str, new: str) -> None:
        self.raw, self.db, self.new = store, db, new
        stored = Stored(name=db, identity=str(OURS)), Stored(name=new, identity=str(THEIRS))
        self.migration = Migration(
            collection=db, state="filling", current=stored[0], other=stored[1], begun=NOW, changed=NOW, by="test"
        )
        self.store = MigratedStore(store, self.read)

    def read(self) -> Mapping[str, Migration]:
        return {self.db: self.migration}

    def switch(self) -> None:
        swapped = {"state": "switched", "current": self.migration.other, "other": self.migration.current}
        self.migration = self.migration.model_copy(update=swapped)

    def fill(self, seed: int, name: str = "x") -> uuid.UUID:
        """Add one person to both collections, with other vectors."""
        point = face(seed, name)
        self.store.under(OURS).add(self.db, [point])
        self.store.under(THEIRS).add(self.db, [replace(point, vector=unit(seed + 1000))])
        return point.person_id

    def held(self) -> list[set[uuid.UUID]]:
        """Return who is in the collection of each identity."""
        return [
            {point.person_id for point in self.raw.under(identity).points(name)}
            for identity, name in ((OURS, self.db), (THEIRS, self.new))
        ]


@pytest.fixture
def scene(backend: Backend, store: Store, db: str) -> Scene:
    return Scene(store, db, backend.name())


def test_a_call_under_an_identity_stays_with_its_collection_whatever_is_switched(scene: Scene) -> None:
    person = scene.fill(1)
    assert scene.store.identity_of(scene.db) == OURS
    began = scene.store.under(OURS)
    scene.switch()
    assert scene.store.identity_of(scene.db) == THEIRS
    for store, seed in ((began, 1), (scene.store.under(THEIRS), 1001)):
        (match,) = store.search(scene.db, unit(seed), 1, 0.99)
        assert match.person_id == person
    assert scene.store.identities([scene.db]) == {scene.db: str(THEIRS)}
    with pytest.raises(IdentityMismatch):
        scene.store.under(Identity("third", "1" * 64, 1, OURS.dimension)).person(scene.db, person)


@pytest.mark.parametrize("switched", [False, True])
def test_deletions_and_changes_are_made_in_both(scene: Scene, switched: bool) -> None:
    kept, gone = scene.fill(1), scene.fill(2)
    if switched:
        scene.switch()
    store = scene.store.under(scene.store.identity_of(scene.db) or OURS)
    store.delete(scene.db, gone)
    assert store.update(scene.db, kept, {"name": "new", "external_id": "7"})
    assert not store.update(scene.db, gone, {"name": "new"})
    assert scene.held() == [{kept}, {kept}]
    assert not store.contains(scene.db, gone)
    for identity in (OURS, THEIRS):
        person = scene.store.under(identity).person(scene.db, kept)
        assert person is not None
        assert (person.name, person.external_id) == ("new", "7")
    assert scene.store.count(scene.db) == faces_in(scene.store, scene.db) == 1


def test_a_face_that_is_removed_from_a_person_goes_from_both(scene: Scene) -> None:
    person = scene.fill(1)
    more = Face(uuid.uuid4(), unit(2), 5)
    for identity, seed in ((OURS, 2), (THEIRS, 1002)):
        store = scene.store.under(identity)
        read = point_of(store, scene.db, person)
        assert read is not None
        put_face(store, scene.db, read, replace(more, vector=unit(seed)))
        put_face(store, scene.db, read, replace(more, vector=unit(seed)))  # a job that is delivered again
        assert faces_in(store, scene.db) == 2
    ours = scene.store.under(OURS)
    for face_id in (more.face_id, person):
        read = point_of(ours, scene.db, person)
        assert read is not None
        ours.replace(scene.db, read, without_face(read, face_id))
    assert scene.held() == [set(), set()]


def test_attributes_that_change_with_the_faces_change_in_both(scene: Scene) -> None:
    person = scene.fill(1)
    ours = scene.store.under(OURS)
    read = point_of(ours, scene.db, person)
    assert read is not None
    more = with_faces(replace(read, name="new", metadata={"a": 1}), [*read.faces, Face(uuid.uuid4(), unit(2))])
    ours.replace(scene.db, read, more)
    theirs = point_of(scene.store.under(THEIRS), scene.db, person)
    assert theirs is not None
    assert (theirs.name, theirs.metadata, len(theirs.faces)) == ("new", {"a": 1}, 1)


def test_a_replacement_that_has_no_effect_removes_nothing_from_the_other(scene: Scene) -> None:
    person = scene.fill(1)
    ours = scene.store.under(OURS)
    read = point_of(ours, scene.db, person)
    assert read is not None
    ours.replace(scene.db, read, with_faces(read, [*read.faces, Face(uuid.uuid4(), unit(2))]))
    ours.replace(scene.db, read, None)  # it was changed since it was read
    assert scene.held() == [{person}, {person}]


def test_faces_are_removed_from_one_collection_alone(scene: Scene) -> None:
    person = scene.fill(1)
    remove_faces(scene.raw.under(THEIRS), scene.new, person, {person})
    assert scene.held() == [{person}, set()]
    remove_faces(scene.raw.under(THEIRS), scene.new, person, {person})


def test_a_facedb_without_a_migration_is_as_without_this_store(scene: Scene, backend: Backend) -> None:
    name, point = backend.name(), face(3, "plain")
    scene.store.add(name, [point])
    (read,) = scene.store.get(name, [point.person_id])
    np.testing.assert_allclose(read.vector, point.vector, atol=1e-6)
    assert [one.person_id for one in scene.store.points(name)] == [point.person_id]
    assert {name, scene.db} & set(scene.store.collections()) == {name}
    scene.store.drop(name)
    assert scene.store.count(name) == 0


def test_a_facedb_is_dropped_with_all_that_it_has(scene: Scene) -> None:
    scene.fill(1)
    scene.migration = scene.migration.model_copy(
        update={
            "state": "finished",
            "current": scene.migration.other,
            "other": None,
            "leftovers": (Leftover(**dict(scene.migration.current), due=0),),
        }
    )
    ours = {scene.db, scene.new}
    assert ours & set(scene.raw.collections()) == ours
    assert ours & set(scene.store.collections()) == {scene.db}
    scene.store.drop(scene.db)
    assert not ours & set(scene.raw.collections())
