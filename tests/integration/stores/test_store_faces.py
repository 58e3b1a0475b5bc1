"""Persons of several faces, in every kind of store."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from every_store import AXIS, OURS, THEIRS, Backend, edge, face, faces_in, unit
from shared.persons import MAX_FACES, FaceQuality
from worker.store.base import Counts, Face, IdentityMismatch, InvalidVector, Person, Point, Store
from worker.store.faces import faces_of, searched_vector, with_faces, without_face
from worker.store.memory import MemoryStore

NOW = 1_790_000_000_000_000
QUALITY = FaceQuality(size=142.3, sharpness=0.812, dark=0.0, bright=0.013, yaw=-3.1, pitch=2.0)


def added_face(seed: int, added: int | None = None, quality: FaceQuality | None = None) -> Face:
    """Return a face with an id of its own and the seed-th vector."""
    return Face(uuid.uuid4(), unit(seed), added, quality)


def one(store: Store, db: str, person_id: uuid.UUID) -> Point:
    (point,) = store.get(db, [person_id])
    return point


def give(store: Store, db: str, person_id: uuid.UUID, *faces: Face) -> Point:
    """Add faces to a person, and return it as it is stored then."""
    read = one(store, db, person_id)
    store.replace(db, read, with_faces(read, [*read.faces, *faces]))
    return one(store, db, person_id)


def cosine(store: Store, db: str, seed: int) -> float:
    (match,) = store.search(db, unit(seed), 1, -1)
    return match.cosine


class TestReading:
    def test_a_face_that_was_added_alone_has_the_id_of_its_person(self, store: Store, db: str) -> None:
        plain, measured = face(1, "Ada"), replace(face(2, "Bob"), added=NOW)
        measured = replace(measured, faces=(Face(measured.person_id, measured.vector, NOW, QUALITY),))
        store.add(db, [plain, measured])
        for point, added, quality in ((plain, None, None), (measured, NOW, QUALITY)):
            read = one(store, db, point.person_id)
            assert read.person == point.person
            (only,) = read.faces
            assert (only.face_id, only.added, only.quality) == (point.person_id, added, quality)
            np.testing.assert_allclose(only.vector, point.vector, atol=1e-6)
        assert faces_in(store, db) == store.count(db) == 2

    def test_those_who_are_there_are_returned(self, backend: Backend, store: Store, db: str) -> None:
        points = [face(seed) for seed in range(3)]
        store.add(db, points)
        ids = {point.person_id for point in points}
        assert {read.person_id for read in store.get(db, [*ids, uuid.uuid4()])} == ids
        assert store.get(db, []) == store.get(backend.name(), [uuid.uuid4()]) == []
        assert faces_in(store, backend.name()) == 0

    def test_another_identity_is_refused(self, backend: Backend, db: str) -> None:
        backend.open(OURS).add(db, [point := face(1)])
        ours = one(backend.open(OURS), db, point.person_id)
        theirs = backend.open(THEIRS)
        with pytest.raises(IdentityMismatch):
            theirs.get(db, [point.person_id])
        assert faces_in(theirs, db) == 1
        with pytest.raises(IdentityMismatch):
            theirs.replace(db, ours, None)
        assert backend.open(OURS).count(db) == 1


class TestReplacing:
    def test_a_person_is_found_by_the_mean_of_its_faces(self, store: Store, db: str) -> None:
        point = replace(face(1, "Ada"), added=NOW, external_id="x", metadata={"a": [2**70]})
        store.add(db, [point])
        second, third = added_face(2, NOW + 2, QUALITY), added_face(3, NOW + 1)
        read = give(store, db, point.person_id, second, third)

        assert read.person == replace(point.person, faces=3)
        assert [each.face_id for each in read.faces] == [point.person_id, third.face_id, second.face_id]
        assert [each.quality for each in read.faces] == [None, None, QUALITY]
        mean = unit(1).astype(np.float64) + unit(2) + unit(3)
        np.testing.assert_allclose(read.vector, mean / np.linalg.norm(mean), atol=1e-6)
        for seed in (1, 2, 3):
            assert cosine(store, db, seed) == pytest.approx(float(read.vector @ unit(seed)), abs=1e-6)
        assert (store.count(db), faces_in(store, db)) == (1, 3)
        assert store.page(db, None, 10) == [read.person]
        assert store.person(db, point.person_id) == read.person
        (listed,) = store.points(db)
        assert [each.face_id for each in listed.faces] == [each.face_id for each in read.faces]

    def test_the_last_face_is_found_as_on_its_own(self, store: Store, db: str) -> None:
        store.add(db, [point := face(1)])
        second = added_face(2)
        read = give(store, db, point.person_id, second)
        store.replace(db, read, without_face(read, point.person_id))

        left = one(store, db, point.person_id)
        assert [each.face_id for each in left.faces] == [second.face_id]
        assert cosine(store, db, 2) == pytest.approx(1, abs=1e-6)
        assert (store.count(db), faces_in(store, db)) == (1, 1)
        store.replace(db, left, without_face(left, second.face_id))
        assert store.get(db, [point.person_id]) == []
        assert (store.count(db), faces_in(store, db)) == (0, 0)

    def test_a_person_may_have_the_most_faces(self, store: Store, db: str) -> None:
        store.add(db, [point := face(0)])
        read = give(store, db, point.person_id, *(added_face(seed, NOW + seed) for seed in range(1, MAX_FACES)))
        assert faces_in(store, db) == len(read.faces) == MAX_FACES
        for seed, each in enumerate(read.faces):
            np.testing.assert_allclose(each.vector, unit(seed), atol=1e-6)

    def test_what_was_changed_since_it_was_read_stays(self, store: Store, db: str) -> None:
        store.add(db, [point := replace(face(1, "Ada"), external_id="x")])
        changes: list[Any] = [{"name": ""}, {"external_id": None}, {"metadata": {"a": "\ud800"}}, {"metadata": None}]
        for change in changes:
            read = one(store, db, point.person_id)
            store.update(db, point.person_id, change)
            now = one(store, db, point.person_id)
            store.replace(db, read, with_faces(read, [*read.faces, added_face(2)]))
            store.replace(db, read, None)
            assert one(store, db, point.person_id).person == now.person
        give(store, db, point.person_id, added_face(3))
        assert faces_in(store, db) == 2, "it can be changed as it is now"

    def test_a_write_that_comes_late_has_no_effect(self, store: Store, db: str) -> None:
        """Not even where the person has the same faces as when it was read."""
        store.add(db, [point := face(1)])
        second = added_face(2)
        read = one(store, db, point.person_id)
        late = with_faces(read, [*read.faces, second])
        store.replace(db, read, late)
        store.replace(db, read, late)
        both = one(store, db, point.person_id)
        assert len(both.faces) == 2
        store.replace(db, both, without_face(both, second.face_id))
        store.replace(db, read, late)
        store.replace(db, both, None)
        assert [each.face_id for each in one(store, db, point.person_id).faces] == [point.person_id]

    def test_a_removed_person_is_not_made_again(self, backend: Backend, store: Store, db: str) -> None:
        store.add(db, [point := face(1), face(2)])
        read = one(store, db, point.person_id)
        store.delete(db, point.person_id)
        store.replace(db, read, with_faces(read, [*read.faces, added_face(3)]))
        assert store.get(db, [point.person_id]) == []
        assert store.count(db) == faces_in(store, db) == 1
        other = backend.name()
        store.replace(other, read, with_faces(read, [*read.faces, added_face(3)]))
        assert other not in store.collections()

    def test_a_bad_vector_is_refused(self, store: Store, db: str) -> None:
        store.add(db, [point := face(1)])
        read = one(store, db, point.person_id)
        bad = Face(uuid.uuid4(), 2 * AXIS)
        with pytest.raises(InvalidVector):
            store.replace(db, read, replace(read, faces=(*read.faces, bad)))
        with pytest.raises(InvalidVector):
            store.add(db, [replace(face(2), faces=(bad, added_face(3)))])
        assert faces_in(store, db) == 1


def test_a_person_of_several_faces_can_be_added_as_it_was_read(backend: Backend, db: str) -> None:
    store = backend.open()
    store.add(db, [point := replace(face(1, "Ada"), added=NOW)])
    read = give(store, db, point.person_id, added_face(2, NOW + 1, QUALITY), added_face(3))
    other = backend.name()
    store.add(other, [*store.points(db)])
    again = one(store, other, point.person_id)
    assert again.person == read.person
    np.testing.assert_array_equal(again.vector, read.vector)
    for before, after in zip(read.faces, again.faces, strict=True):
        assert (before.face_id, before.added, before.quality) == (after.face_id, after.added, after.quality)
        np.testing.assert_array_equal(before.vector, after.vector)
    assert faces_in(store, other) == 3
    give(store, other, point.person_id, added_face(4))
    assert faces_in(store, other) == 4


def test_concurrent_changes_of_the_faces_of_a_person_all_take_effect(store: Store, db: str) -> None:
    workers = 4
    store.add(db, [point := face(0)])
    for seed in range(1, workers + 1):
        give(store, db, point.person_id, added_face(seed, NOW))
    there = {each.face_id: seed for seed, each in enumerate(one(store, db, point.person_id).faces)}
    adds = [added_face(100 + number, NOW + number) for number in range(3 * workers)]
    deletes = [face_id for face_id in there if face_id != point.person_id]
    start = threading.Barrier(workers)

    def change(goal: Callable[[Point], Point | None]) -> None:
        while (read := one(store, db, point.person_id)) and (new := goal(read)) is not None:
            store.replace(db, read, new)

    def add(new: Face) -> None:
        change(lambda p: None if new in p.faces or ids(p) & {new.face_id} else with_faces(p, [*p.faces, new]))

    def delete(face_id: uuid.UUID) -> None:
        change(lambda p: without_face(p, face_id) if face_id in ids(p) else None)

    def ids(p: Point) -> set[uuid.UUID]:
        return {each.face_id for each in p.faces}

    def work(number: int) -> None:
        start.wait()
        for new in adds[number::workers]:
            add(new)
        delete(deletes[number])
        store.update(db, point.person_id, {"metadata": {"n": number}})

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    read = one(store, db, point.person_id)
    assert ids(read) == {point.person_id, *(new.face_id for new in adds)}
    np.testing.assert_allclose(read.vector, searched_vector([each.vector for each in read.faces]), atol=1e-6)
    assert faces_in(store, db) == len(read.faces)
    assert read.metadata is not None


def test_facedbs_are_counted_in_the_order_that_is_asked(backend: Backend) -> None:
    # More than the embedded store keeps open here, of persons with one face, with two and with three.
    names = [backend.name() for _ in range(5)]
    (store := backend.open()).add(names[0], [face(1)])
    for name, extra in zip(names[1:4], ([], [1], [2, 1]), strict=True):
        points = [face(seed) for seed in range(4)]
        store.add(name, points)
        for point, more in zip(points, extra, strict=False):
            give(store, name, point.person_id, *(added_face(10 + seed) for seed in range(more)))
    expected = [Counts(1, 1), Counts(4, 4), Counts(4, 5), Counts(4, 7), Counts(0, 0)]
    assert list(store.counts(names)) == expected
    assert list(store.counts([names[3], names[0]])) == [expected[3], expected[0]]
    store.drop(names[2])
    store.delete(names[0], next(store.points(names[0])).person_id)
    assert list(store.counts(names)) == [Counts(0, 0), expected[1], Counts(0, 0), *expected[3:]]


PERSONS = st.integers(0, 3)
FACES = st.integers(0, 4)
HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), PERSONS, st.none()),
        st.tuples(st.just("delete"), PERSONS, st.none()),
        st.tuples(st.just("give"), PERSONS, FACES),
        st.tuples(st.just("take"), PERSONS, FACES),
        st.tuples(st.just("stale"), PERSONS, FACES),
        st.tuples(st.just("rename"), PERSONS, st.sampled_from(["a", "b"])),
        st.tuples(st.just("compact"), PERSONS, st.none()),
    ),
    max_size=20,
)


@settings(max_examples=15, deadline=None)
@given(history=HISTORIES)
def test_any_history_has_the_result_of_the_reference(history: list[tuple[str, int, Any]]) -> None:
    with edge(index_from=8) as backend:
        reference, store, db = MemoryStore(OURS), backend.open(), backend.name()
        stale: dict[tuple[int, uuid.UUID], Point] = {}
        for step in history:
            for number, each in enumerate((store, reference)):
                carry_out(step, each, db, number, stale)
        assert state(store, db) == state(reference, db)
        assert faces_in(store, db) == faces_in(reference, db)
        for seed in range(5):
            found, expected = (each.search(db, unit(seed), 50, -1) for each in (store, reference))
            assert [match.cosine for match in found] == pytest.approx([match.cosine for match in expected], abs=1e-6)


def carry_out(
    step: tuple[str, int, Any], store: Store, db: str, number: int, stale: dict[tuple[int, uuid.UUID], Point]
) -> None:
    """stale: for each store, its persons as they were read before the last change of their faces."""
    kind, person, argument = step
    person_id = uuid.UUID(int=person)
    match kind:
        case "add":
            store.add(db, [Point(person_id, "", unit(person))])
        case "delete":
            store.delete(db, person_id)
        case "rename":
            store.update(db, person_id, {"name": argument})
        case "compact":
            store.compact(db, lambda: None)
        case _:
            face_id = uuid.UUID(int=100 + argument)
            for read in store.get(db, [person_id]):
                has = face_id in {each.face_id for each in read.faces}
                if kind == "stale" and (number, person_id) in stale:
                    store.replace(db, stale[number, person_id], None)
                elif kind == "give" and not has:
                    store.replace(db, read, with_faces(read, [*read.faces, Face(face_id, unit(50 + argument), NOW)]))
                    stale[number, person_id] = read
                elif kind == "take" and has:
                    store.replace(db, read, without_face(read, face_id))
                    stale[number, person_id] = read


def state(store: Store, db: str) -> list[tuple[Person, list[uuid.UUID]]]:
    points = sorted(store.points(db), key=lambda point: point.person_id)
    return [(point.person, [each.face_id for each in faces_of(point)]) for point in points]
