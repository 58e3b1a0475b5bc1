"""Listing, looking up and changing persons, in every kind of store."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from every_store import OURS, SERVERS, THEIRS, Backend, Backends, Opening, edge, face, unit
from worker.store.base import MAX_ADDED, Changes, IdentityMismatch, Person, Point, Store
from worker.store.memory import MemoryStore

NOW = 1_790_000_000_000_000
METADATA: list[dict[str, Any]] = [
    {},
    {"z": 1, "a": [{"y": None, "b": True}]},
    {"big": 2**80, "small": -(2**70), "real": 0.1, "text": "\x00 \U0001f642 山"},
    {"name": "not the person's", "": {"": {"": []}}},
    {"surrogate": "\ud800"},
]


def pages(store: Store, db: str, limit: int, **filters: str) -> Iterator[Person]:
    after = None
    while page := store.page(db, after, limit, **filters):
        yield from page
        after = page[-1].position
        if len(page) < limit:
            return


def dated(seed: int, added: int | None, name: str = "") -> Point:
    return replace(face(seed, name), added=added)


class TestAttributes:
    @pytest.mark.parametrize("metadata", METADATA, ids=str)
    def test_attributes_are_read_as_they_were_added(self, store: Store, db: str, metadata: dict[str, Any]) -> None:
        point = replace(face(1, "Ada"), added=MAX_ADDED, external_id="!a~" * 42, metadata=metadata)
        store.add(db, [point])
        assert store.person(db, point.person_id) == point.person
        assert store.page(db, None, 10) == [point.person]
        (read,) = store.points(db)
        assert read.person == point.person
        assert read.metadata is not None
        assert list(read.metadata) == list(metadata), "in the same order"

    def test_a_person_without_attributes_has_none(self, store: Store, db: str) -> None:
        point = face(1, "Ada")
        store.add(db, [point])
        assert store.person(db, point.person_id) == Person(point.person_id, "Ada", None, None, None)

    def test_an_unknown_person_is_none(self, backend: Backend, store: Store, db: str) -> None:
        store.add(db, [face(1)])
        assert store.person(db, uuid.uuid4()) is None
        assert store.person(backend.name(), uuid.uuid4()) is None


class TestListing:
    def test_persons_are_listed_from_the_oldest(self, store: Store, db: str) -> None:
        points = [dated(seed, NOW + seed) for seed in range(25)]
        store.add(db, points[12:])
        store.add(db, points[:12])
        assert list(pages(store, db, 10)) == [point.person for point in points]
        assert store.page(db, None, 3) == [point.person for point in points[:3]]
        assert store.page(db, points[5].person.position, 2) == [point.person for point in points[6:8]]
        assert store.page(db, points[-1].person.position, 2) == []

    def test_persons_without_a_time_come_first(self, store: Store, db: str) -> None:
        old, new = [face(seed) for seed in range(7)], [dated(seed, NOW + seed) for seed in range(7)]
        store.add(db, new + old)
        listed = list(pages(store, db, 3))
        assert {person.person_id for person in listed[:7]} == {point.person_id for point in old}
        assert listed[7:] == [point.person for point in new]

    @pytest.mark.parametrize("limit", [1, 2, 5, 12, 13, 100])
    def test_everybody_of_one_time_is_listed_once(self, store: Store, db: str, limit: int) -> None:
        times = [None, *[NOW] * 12, NOW + 1, *[NOW + 2] * 5, *[NOW + 3] * 2]
        points = [dated(seed, added) for seed, added in enumerate(times)]
        store.add(db, points)
        listed = list(pages(store, db, limit))
        assert sorted(listed, key=lambda p: p.position) == sorted((p.person for p in points), key=lambda p: p.position)
        assert [person.added for person in listed] == times
        assert listed == list(pages(store, db, 100)), "in an order that stays the same"

    def test_a_page_may_begin_after_somebody_who_is_gone(self, store: Store, db: str) -> None:
        points = [dated(seed, NOW) for seed in range(6)]
        store.add(db, points)
        listed = list(pages(store, db, 10))
        store.delete(db, listed[2].person_id)
        assert store.page(db, listed[2].position, 10) == listed[3:]

    def test_only_persons_with_a_name_or_an_external_id_are_listed(self, store: Store, db: str) -> None:
        names, ids = ["Ada", "ada", "Ada ", ""], ["x", "X", None]
        points = [
            replace(dated(seed, NOW + seed // 2, names[seed % 4]), external_id=ids[seed % 3]) for seed in range(24)
        ]
        store.add(db, points)
        for name in [*names, "unknown"]:
            expected = {point.person_id for point in points if point.name == name}
            assert {person.person_id for person in pages(store, db, 4, name=name)} == expected
        for external_id in ["x", "X", "unknown"]:
            expected = {point.person_id for point in points if point.external_id == external_id}
            assert {person.person_id for person in pages(store, db, 4, external_id=external_id)} == expected
        both = {person.person_id for person in pages(store, db, 1, name="Ada", external_id="x")}
        assert both == {point.person_id for point in points if (point.name, point.external_id) == ("Ada", "x")}

    def test_collections_are_listed_separately(self, backend: Backend, store: Store) -> None:
        first, second = backend.name(), backend.name()
        point = dated(1, NOW, "Ada")
        store.add(first, [point])
        store.add(second, [replace(point, name="Bob")])
        assert store.page(first, None, 10) == [point.person]
        assert store.page(second, None, 10, name="Ada") == []

    def test_an_unknown_or_empty_collection_has_nobody(self, store: Store, db: str) -> None:
        assert store.page(db, None, 10) == []
        assert db not in store.collections()
        point = dated(1, NOW)
        store.add(db, [point])
        store.delete(db, point.person_id)
        assert store.page(db, None, 10) == []

    def test_a_collection_that_is_dropped_and_filled_again_is_listed(self, store: Store, db: str) -> None:
        for seed in (1, 2):
            point = dated(seed, NOW, f"N{seed}")
            store.add(db, [point])
            assert store.page(db, None, 10, name=f"N{seed}") == [point.person]
            store.drop(db)

    def test_a_stored_list_is_the_same_after_a_restart(self, backend: Backend, db: str) -> None:
        store = backend.open()
        store.add(db, [dated(seed, NOW + seed // 3, f"N{seed % 2}") for seed in range(10)])
        listed = list(pages(store, db, 3, name="N1"))
        assert len(listed) == 5
        assert list(pages(backend.open(), db, 3, name="N1")) == listed

    def test_persons_are_listed_that_were_compacted(self, store: Store, db: str) -> None:
        points = [replace(dated(seed, NOW + seed, f"N{seed}"), external_id=f"x{seed}") for seed in range(40)]
        store.add(db, points)
        store.update(db, points[3].person_id, {"name": "new", "external_id": None})
        listed = list(pages(store, db, 7))
        store.compact(db, lambda: None)
        assert list(pages(store, db, 7)) == listed
        assert [person.name for person in listed[:5]] == ["N0", "N1", "N2", "new", "N4"]
        assert store.page(db, None, 2, external_id="x7") == [points[7].person]

    def test_nobody_is_listed_twice_or_missed_while_others_come_and_go(self, store: Store, db: str) -> None:
        """Every number of a page comes after some adds, deletes and updates of others, at its own place and others."""
        random = np.random.default_rng(3)
        times = count(NOW)
        stays = [dated(seed, None if seed < 20 else next(times) + seed // 7, "stays") for seed in range(60)]
        comes = [dated(seed, NOW + seed // 5 if seed % 4 else None, "comes") for seed in range(60)]
        store.add(db, stays + comes[:30])
        gone, listed, after = 0, [], None
        while page := store.page(db, after, 5):
            listed += page
            after = page[-1].position
            for _ in range(2):
                store.delete(db, comes[gone].person_id)
                store.add(db, [comes[(gone + 30) % 60]])
                gone = (gone + 1) % 60
            changed = stays[random.integers(60)]
            assert store.update(db, changed.person_id, {"metadata": {"n": gone}})
        seen = [person.person_id for person in listed]
        assert len(seen) == len(set(seen))
        assert {point.person_id for point in stays} <= set(seen)
        times_listed = [person.added or 0 for person in listed]
        assert times_listed == sorted(times_listed)


class TestChanging:
    def test_a_change_is_seen_at_once_and_leaves_the_rest(self, store: Store, db: str) -> None:
        point = replace(dated(1, NOW, "Ada"), external_id="x", metadata={"a": 1})
        store.add(db, [point, dated(2, NOW, "Bob")])
        assert store.update(db, point.person_id, {"name": "Eve"})
        assert store.person(db, point.person_id) == replace(point.person, name="Eve")
        assert store.search(db, unit(1), 1, 0.9)[0].name == "Eve"
        assert store.page(db, None, 5, name="Ada") == []
        assert store.page(db, None, 5, name="Eve") == [replace(point.person, name="Eve")]
        assert [person.name for person in store.page(db, None, 5, name="Bob")] == ["Bob"]
        (read,) = (other for other in store.points(db) if other.person_id == point.person_id)
        np.testing.assert_allclose(read.vector, point.vector, atol=1e-6)

    @pytest.mark.parametrize(
        "changes",
        [
            {"external_id": "y"},
            {"external_id": None},
            {"metadata": {"z": 2**80, "a": None}},
            {"metadata": None},
            {"metadata": {}},
            {"name": "", "external_id": None, "metadata": None},
            {"name": "Eve", "external_id": "y", "metadata": {"b": []}},
            {},
        ],
        ids=str,
    )
    def test_attributes_are_set_and_removed(self, store: Store, db: str, changes: Changes) -> None:
        point = replace(dated(1, NOW, "Ada"), external_id="x", metadata={"a": 1})
        store.add(db, [point])
        assert store.update(db, point.person_id, changes)
        expected = replace(point.person, **changes)
        assert store.person(db, point.person_id) == expected
        for external_id in ("x", "y"):
            found = store.page(db, None, 5, external_id=external_id)
            assert found == ([expected] if expected.external_id == external_id else [])

    def test_a_person_of_an_earlier_release_gets_attributes(self, store: Store, db: str) -> None:
        point = face(1, "Ada")
        store.add(db, [point])
        assert store.update(db, point.person_id, {"external_id": "x", "metadata": {"a": 1}})
        assert store.page(db, None, 5, external_id="x") == [replace(point.person, external_id="x", metadata={"a": 1})]

    def test_an_unknown_person_is_not_made(self, backend: Backend, store: Store, db: str) -> None:
        store.add(db, [face(1)])
        assert not store.update(db, uuid.uuid4(), {"name": "nobody"})
        assert store.count(db) == 1
        other = backend.name()
        assert not store.update(other, uuid.uuid4(), {"name": "nobody"})
        assert other not in store.collections()

    def test_a_deleted_person_stays_deleted(self, store: Store, db: str) -> None:
        point = face(1)
        store.add(db, [point, face(2)])
        store.delete(db, point.person_id)
        assert not store.update(db, point.person_id, {"name": "back"})
        assert store.person(db, point.person_id) is None
        assert store.count(db) == 1

    def test_a_second_delivery_of_an_add_does_not_undo_a_change(self, store: Store, db: str) -> None:
        point = dated(1, NOW, "Ada")
        store.add(db, [point])
        store.update(db, point.person_id, {"name": "Eve"})
        store.add(db, [replace(point, added=NOW + 1)])
        assert store.page(db, None, 5) == [replace(point.person, name="Eve")]

    def test_concurrent_changes_of_two_attributes_are_both_kept(self, store: Store, db: str) -> None:
        points = [face(seed) for seed in range(20)]
        store.add(db, points)
        start = threading.Barrier(2)

        def change(changes: Changes) -> None:
            start.wait()
            for point in points:
                assert store.update(db, point.person_id, changes)

        with ThreadPoolExecutor(2) as pool:
            asked: list[Changes] = [{"name": "Eve"}, {"external_id": "x"}]
            for done in [pool.submit(change, changes) for changes in asked]:
                done.result()
        assert {(person.name, person.external_id) for person in store.page(db, None, 50)} == {("Eve", "x")}

    def test_a_concurrent_delete_is_not_undone(self, store: Store, db: str) -> None:
        points = [face(seed) for seed in range(30)]
        store.add(db, points)
        start = threading.Barrier(2)

        def change() -> None:
            start.wait()
            for point in points:
                store.update(db, point.person_id, {"name": "changed", "metadata": {"a": 1}})

        def delete() -> None:
            start.wait()
            for point in points:
                store.delete(db, point.person_id)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(change), pool.submit(delete)]:
                done.result()
        assert store.count(db) == 0
        assert store.page(db, None, 50) == []


def test_another_identity_is_refused(backend: Backend, db: str) -> None:
    point = dated(1, NOW, "Ada")
    backend.open(OURS).add(db, [point])
    store = backend.open(THEIRS)
    with pytest.raises(IdentityMismatch):
        store.page(db, None, 10)
    with pytest.raises(IdentityMismatch):
        store.person(db, point.person_id)
    with pytest.raises(IdentityMismatch):
        store.update(db, point.person_id, {"name": "theirs"})
    assert backend.open(OURS).person(db, point.person_id) == point.person


SEEDS = st.integers(0, 5)
TIMES = st.sampled_from([None, NOW, NOW + 1, NOW + 2])
TEXTS = st.sampled_from(["a", "b"])
HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SEEDS, st.tuples(TIMES, TEXTS, st.none() | TEXTS)),
        st.tuples(st.just("delete"), SEEDS, st.none()),
        st.tuples(
            st.just("update"),
            SEEDS,
            st.fixed_dictionaries({}, optional={"name": TEXTS, "external_id": st.none() | TEXTS}),
        ),
        st.tuples(st.just("page"), SEEDS, st.tuples(TIMES, st.integers(1, 4), st.none() | TEXTS, st.none() | TEXTS)),
        st.tuples(st.just("compact"), SEEDS, st.none()),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(history=HISTORIES)
def test_any_history_has_the_result_of_the_reference(history: list[tuple[str, int, Any]]) -> None:
    require_the_result_of_the_reference(edge, history)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_a_history_on_a_server_has_the_result_of_the_reference(
    backends: Backends, kind: str, history: list[tuple[str, int, Any]]
) -> None:
    require_the_result_of_the_reference(backends[kind], history, same_ties="shared" not in kind)


def require_the_result_of_the_reference(
    opening: Opening, history: list[tuple[str, int, Any]], *, same_ties: bool = True
) -> None:
    """same_ties: whether the store lists the persons of one time in the order of the reference, too."""
    with opening() as backend:
        reference, store, db = MemoryStore(OURS), backend.open(), backend.name()
        for step in history:
            for each in (store, reference):
                apply(step, each, db)
            if step[0] == "page" and same_ties:
                assert listed(step, store, db) == listed(step, reference, db)
        everybody = list(pages(store, db, 2))
        if not same_ties:
            everybody.sort(key=lambda person: person.position)
        assert everybody == list(pages(reference, db, 2))
        for name in ("a", "b"):
            found = sorted(pages(store, db, 1, name=name), key=lambda person: person.position)
            assert found == list(pages(reference, db, 1, name=name))


def apply(step: tuple[str, int, Any], store: Store, db: str) -> None:
    kind, seed, argument = step
    person_id = uuid.UUID(int=seed)
    match kind:
        case "add":
            added, name, external_id = argument
            store.add(db, [Point(person_id, name, unit(seed), added, external_id)])
        case "delete":
            store.delete(db, person_id)
        case "update":
            store.update(db, person_id, argument)
        case "compact":
            store.compact(db, lambda: None)


def listed(step: tuple[str, int, Any], store: Store, db: str) -> list[Person]:
    _, seed, (added, limit, name, external_id) = step
    return store.page(db, (added or 0, uuid.UUID(int=seed)), limit, name=name, external_id=external_id)
