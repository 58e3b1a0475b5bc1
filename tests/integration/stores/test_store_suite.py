"""The behaviour of every store, whichever engine it uses."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from every_store import AXIS, DIMENSION, HALF, OURS, SERVERS, THEIRS, Backend, Backends, Opening, edge, face, unit
from shared.jobs import person_id
from worker.models.identity import Identity
from worker.store.base import PAGE, IdentityMismatch, InvalidVector, Match, Point, Store, StoreUnavailable, Vector
from worker.store.memory import MemoryStore


def names(matches: list[Match]) -> list[str]:
    return [match.name for match in matches]


class TestAdding:
    def test_a_point_is_searchable_on_return(self, store: Store, db: str) -> None:
        point = face(1, "Ada")
        store.add(db, [point])

        (match,) = store.search(db, unit(1), limit=50, min_cosine=0.5)
        assert (match.person_id, match.name) == (point.person_id, "Ada")
        assert match.cosine == pytest.approx(1, abs=1e-6)
        assert store.contains(db, point.person_id)
        assert store.count(db) == 1

    def test_a_point_with_a_known_id_stays_as_it_is(self, store: Store, db: str) -> None:
        point = face(1, "before")
        store.add(db, [point])
        store.add(db, [Point(point.person_id, "after", unit(2), added=1), face(3, "new")])

        assert store.count(db) == 2
        assert store.search(db, unit(2), 50, 0.99) == []
        assert names(store.search(db, unit(1), 50, 0.99)) == ["before"]
        assert store.person(db, point.person_id) == point.person

    def test_adding_no_points_creates_no_collection(self, store: Store, db: str) -> None:
        store.add(db, [])
        assert db not in store.collections()

    @pytest.mark.parametrize(
        "name", ["", "x" * 128, "ID0", "\U0001f642" * 128, "é e\u0301 山田\u3000太郎 رضا\u200cعلی"]
    )
    def test_names_are_returned_unchanged(self, store: Store, db: str, name: str) -> None:
        store.add(db, [face(1, name)])
        assert names(store.search(db, unit(1), 1, 0.9)) == [name]

    def test_a_length_within_the_tolerance_is_normalised(self, store: Store, db: str) -> None:
        store.add(db, [Point(uuid.uuid4(), "Ada", unit(1) * np.float32(1.0005))])
        (match,) = store.search(db, unit(1) * np.float32(0.9995), 1, 0.9)
        assert match.cosine == pytest.approx(1, abs=1e-6)


BAD_VECTORS = {
    "NaN": np.full(DIMENSION, np.nan, np.float32),
    "one NaN": np.where(np.arange(DIMENSION) == 3, np.nan, unit(1)).astype(np.float32),
    "infinite": np.full(DIMENSION, np.inf, np.float32),
    "zero": np.zeros(DIMENSION, np.float32),
    "not of unit length": unit(1) * np.float32(1.01),
    "too short": unit(1, DIMENSION - 1),
    "two-dimensional": unit(1).reshape(1, -1),
}


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS)
class TestBadVectors:
    def test_nothing_is_written_if_one_of_several_is_bad(self, store: Store, db: str, bad: Vector) -> None:
        with pytest.raises(InvalidVector):
            store.add(db, [face(1), Point(uuid.uuid4(), "bad", bad)])
        assert store.count(db) == 0
        assert db not in store.collections()

    def test_a_search_with_a_bad_vector_is_refused(self, store: Store, db: str, bad: Vector) -> None:
        store.add(db, [face(1)])
        with pytest.raises(InvalidVector):
            store.search(db, bad, 50, 0)


class TestSearching:
    def test_matches_are_ordered_from_the_best(self, store: Store, db: str) -> None:
        near, far = unit(1) + 0.2 * unit(2), unit(1) + 0.8 * unit(2)
        vectors = {"far": far, "exact": unit(1), "near": near}
        store.add(db, [Point(uuid.uuid4(), name, v / np.linalg.norm(v)) for name, v in vectors.items()])

        found = store.search(db, unit(1), 50, -1)
        assert names(found) == ["exact", "near", "far"]
        expected = [float(unit(1) @ (vectors[m.name] / np.linalg.norm(vectors[m.name]))) for m in found]
        assert [m.cosine for m in found] == pytest.approx(expected, abs=1e-6)

    def test_ties_are_ordered_by_person_id(self, store: Store, db: str) -> None:
        points = [Point(uuid.uuid4(), "", HALF) for _ in range(21)]
        store.add(db, points)
        found = store.search(db, AXIS, 50, 0)
        assert {m.cosine for m in found} == {0.5}
        assert [m.person_id for m in found] == sorted(p.person_id for p in points)

    def test_there_are_no_more_matches_than_the_limit(self, store: Store, db: str) -> None:
        store.add(db, [face(seed, str(seed)) for seed in range(60)])
        everything = store.search(db, unit(1), 100, -1)
        assert len(everything) == 60
        same(store.search(db, unit(1), 50, -1), everything[:50])
        same(store.search(db, unit(1), 1, -1), everything[:1])

    def test_min_cosine_is_inclusive(self, store: Store, db: str) -> None:
        store.add(db, [Point(uuid.uuid4(), "half", HALF), Point(uuid.uuid4(), "none", AXIS[::-1].copy())])
        assert names(store.search(db, AXIS, 50, 0.5)) == ["half"]
        assert names(store.search(db, AXIS, 50, float(np.nextafter(0.5, 1)))) == []
        assert names(store.search(db, AXIS, 50, 0)) == ["half", "none"]

    def test_cosines_lie_in_range(self, store: Store, db: str) -> None:
        for seed in range(100):
            store.add(db, [face(seed), Point(uuid.uuid4(), "opposite", -unit(seed))])
        for seed in range(100):
            found = store.search(db, unit(seed), 200, -1)
            assert len(found) == 200
            assert all(-1 <= m.cosine <= 1 for m in found)

    def test_an_unknown_collection_has_no_matches(self, store: Store, db: str) -> None:
        assert store.search(db, unit(1), 50, -1) == []
        assert db not in store.collections()

    def test_an_empty_collection_has_no_matches(self, store: Store, db: str) -> None:
        point = face(1)
        store.add(db, [point])
        store.delete(db, point.person_id)
        assert store.search(db, unit(1), 50, -1) == []


class TestDeleting:
    def test_only_that_point_is_deleted(self, store: Store, db: str) -> None:
        gone, stays = face(1, "gone"), face(1, "stays")
        store.add(db, [gone, stays])
        store.delete(db, gone.person_id)

        assert not store.contains(db, gone.person_id)
        assert store.contains(db, stays.person_id)
        assert names(store.search(db, unit(1), 50, 0)) == ["stays"]
        assert store.count(db) == 1

    def test_deleting_an_unknown_point_is_no_error(self, store: Store, db: str) -> None:
        store.delete(db, uuid.uuid4())
        point = face(1)
        store.add(db, [point])
        for _ in range(2):
            store.delete(db, point.person_id)
        assert store.count(db) == 0
        assert not store.contains(db, point.person_id)


class TestReadingAll:
    def test_every_point_is_read_once_as_it_was_added(self, backend: Backend, store: Store) -> None:
        db, other = backend.name(), backend.name()
        points = [face(seed, f"ID{seed}") for seed in range(2 * PAGE + 1)]
        for begin in range(0, len(points), 100):
            store.add(db, points[begin : begin + 100])
        store.add(other, [face(1, "other")])

        found = {point.person_id: point for point in store.points(db)}
        assert len(list(store.points(db))) == len(points)
        assert found.keys() == {point.person_id for point in points}
        for point in points:
            read = found[point.person_id]
            assert read.name == point.name
            assert read.vector.dtype == np.float32
            np.testing.assert_allclose(read.vector, point.vector, atol=1e-6)

    def test_points_that_are_read_and_added_again_are_read_the_same(self, backend: Backend, store: Store) -> None:
        db, copy = backend.name(), backend.name()
        store.add(db, [face(seed) for seed in range(100)])
        first = list(store.points(db))
        store.add(copy, first)
        again = {point.person_id: point.vector for point in store.points(copy)}
        assert all(np.array_equal(again[point.person_id], point.vector) for point in first)

    @pytest.mark.parametrize("count", [1, PAGE - 1, PAGE])
    def test_collections_of_whole_pages_are_read(self, store: Store, db: str, count: int) -> None:
        store.add(db, [face(seed) for seed in range(count)])
        assert len(list(store.points(db))) == count

    def test_the_first_points_are_a_random_sample(self, store: Store, db: str) -> None:
        """About as many of those added first as of those added last are among them, with ids as jobs give them."""
        origin = uuid.UUID(int=7).hex
        points = [replace(face(seed), person_id=person_id(origin, seed)) for seed in range(400)]
        for begin in range(0, 400, 100):
            store.add(db, points[begin : begin + 100])
        first = [point.person_id for point in islice(store.points(db), 100)]
        early = {point.person_id for point in points[:200]}
        assert 30 < sum(one in early for one in first) < 70
        assert first == [point.person_id for point in islice(store.points(db), 100)]

    def test_an_unknown_or_empty_collection_has_no_points(self, store: Store, db: str) -> None:
        assert list(store.points(db)) == []
        assert db not in store.collections()
        point = face(1)
        store.add(db, [point])
        store.delete(db, point.person_id)
        assert list(store.points(db)) == []

    def test_points_that_stay_are_read_despite_changes(self, store: Store, db: str) -> None:
        stays = [face(seed) for seed in range(2 * PAGE)]
        goes = [face(seed) for seed in range(PAGE)]
        store.add(db, stays + goes)
        read = []
        for number, point in enumerate(store.points(db)):
            read.append(point.person_id)
            if number < PAGE:
                store.delete(db, goes[number].person_id)
                store.add(db, [face(number, "new")])
        assert {point.person_id for point in stays} <= set(read)
        assert len(read) == len(set(read))

    def test_reading_ends_if_the_collection_is_dropped(self, store: Store, db: str) -> None:
        store.add(db, [face(seed) for seed in range(PAGE + 1)])
        reading = store.points(db)
        next(reading)
        store.drop(db)
        assert len(list(reading)) in (PAGE - 1, PAGE)


class TestCollections:
    def test_collections_are_separate(self, backend: Backend, store: Store) -> None:
        first, second, third = backend.name(), backend.name(), backend.name()
        point = face(1, "first")
        store.add(first, [point])
        store.add(second, [face(1, "second")])
        store.add(third, [face(1, "third")])

        assert names(store.search(first, unit(1), 50, 0)) == ["first"]
        assert not store.contains(second, point.person_id)
        store.delete(second, point.person_id)
        assert store.contains(first, point.person_id)

    def test_collections_are_listed_in_order(self, backend: Backend, store: Store) -> None:
        ours = {backend.name() for _ in range(3)}
        for name in ours:
            store.add(name, [face(1)])
        listed = store.collections()
        assert ours <= set(listed)
        assert listed == sorted(listed)

    def test_names_that_differ_in_case_are_two_collections(self, backend: Backend, store: Store) -> None:
        lower = backend.name()
        upper = lower.upper()
        store.add(lower, [face(1, "lower")])
        assert store.search(upper, unit(1), 50, 0) == []

    def test_drop_removes_a_collection_with_all_its_points(self, backend: Backend, store: Store) -> None:
        gone, stays = backend.name(), backend.name()
        point = face(1)
        store.add(gone, [point])
        store.add(stays, [point])
        store.drop(gone)

        assert gone not in store.collections()
        assert store.count(gone) == 0
        assert not store.contains(gone, point.person_id)
        assert store.search(gone, unit(1), 50, -1) == []
        assert store.count(stays) == 1

    def test_a_dropped_collection_can_be_filled_again(self, store: Store, db: str) -> None:
        store.add(db, [face(1, "old")])
        store.drop(db)
        store.drop(db)
        store.add(db, [face(2, "new")])
        assert names(store.search(db, unit(1), 50, -1)) == ["new"]

    def test_points_outlive_the_store(self, backend: Backend, db: str) -> None:
        backend.open().add(db, [face(1, "Ada")])
        assert names(backend.open().search(db, unit(1), 50, 0)) == ["Ada"]


class TestAnotherIdentity:
    @pytest.mark.parametrize(
        "other", [THEIRS, Identity("other", "1" * 64, 1, DIMENSION), Identity("sface", "0" * 64, 1, 8)], ids=str
    )
    def test_every_call_on_points_refuses_another_identity(self, backend: Backend, db: str, other: Identity) -> None:
        point = face(1, "Ada")
        backend.open().add(db, [point])

        store = backend.open(other)
        with pytest.raises(IdentityMismatch, match=str(OURS)):
            store.add(db, [Point(uuid.uuid4(), "", unit(1, other.dimension))])
        with pytest.raises(IdentityMismatch):
            store.search(db, unit(1, other.dimension), 50, 0)
        with pytest.raises(IdentityMismatch):
            store.contains(db, point.person_id)
        with pytest.raises(IdentityMismatch):
            store.delete(db, point.person_id)
        with pytest.raises(IdentityMismatch):
            list(store.points(db))
        assert names(backend.open().search(db, unit(1), 50, -1)) == ["Ada"]

    def test_the_identity_of_a_collection_is_known(self, backend: Backend, db: str) -> None:
        other, none = backend.name(), backend.name()
        backend.open().add(db, [face(1)])
        backend.open(THEIRS).add(other, [face(2)])
        known = {db: OURS, other: THEIRS}
        for identity in (OURS, THEIRS):
            store = backend.open(identity)
            assert store.identities([db, other, none]) == {name: str(each) for name, each in known.items()}
            assert store.identities([none]) == {}
            for _ in range(2):
                assert {name: store.identity_of(name) for name in (db, other, none)} == known | {none: None}

    def test_a_collection_of_another_identity_can_be_dropped(self, backend: Backend, db: str) -> None:
        backend.open().add(db, [face(1)])

        store = backend.open(THEIRS)
        assert store.count(db) == 1
        assert db in store.collections()
        store.drop(db)
        store.add(db, [face(2, "theirs")])
        assert names(store.search(db, unit(2), 50, 0)) == ["theirs"]


class TestSeveralIdentities:
    """One store, opened once, for collections of several identities."""

    def test_each_collection_is_used_under_its_own_identity(self, backend: Backend, store: Store, db: str) -> None:
        other = backend.name()
        ours, theirs = face(1, "ours"), face(1, "theirs")
        store.add(db, [ours])
        store.under(THEIRS).add(other, [theirs])
        for identity, name, point in ((OURS, db, ours), (THEIRS, other, theirs)):
            view = store.under(identity)
            assert view.identity == identity
            assert store.identity_of(name) == view.identity_of(name) == identity
            assert names(view.search(name, unit(1), 50, 0.9)) == [point.name]
            assert view.contains(name, point.person_id)
            assert [read.person_id for read in view.points(name)] == [point.person_id]
            view.delete(name, point.person_id)
            assert view.count(name) == 0
        assert store.identity == OURS

    def test_a_collection_is_refused_to_every_other_identity(self, store: Store, db: str) -> None:
        point = face(1, "theirs")
        theirs = store.under(THEIRS)
        theirs.add(db, [point])
        for view in (store, theirs.under(OURS)):
            for call in (
                lambda view=view: view.add(db, [face(2)]),
                lambda view=view: view.search(db, unit(1), 50, 0),
                lambda view=view: view.contains(db, point.person_id),
                lambda view=view: view.delete(db, point.person_id),
                lambda view=view: list(view.points(db)),
            ):
                with pytest.raises(IdentityMismatch, match=str(THEIRS)):
                    call()
        assert names(theirs.search(db, unit(1), 50, -1)) == ["theirs"]

    def test_one_of_two_identities_gets_a_collection_that_both_begin(self, store: Store, db: str) -> None:
        start = threading.Barrier(2)

        def begin(identity: Identity) -> bool:
            view, point = store.under(identity), face(1, str(identity))
            start.wait()
            try:
                view.add(db, [point])
            except IdentityMismatch:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            begun = dict(zip((OURS, THEIRS), pool.map(begin, (OURS, THEIRS)), strict=True))
        # Where all share one collection of the server, both may notice the other, and neither gets it.
        kept = [identity for identity, succeeded in begun.items() if succeeded]
        assert len(kept) <= 1
        assert store.identity_of(db) == (kept[0] if kept else None)
        assert store.count(db) == len(kept)

    def test_an_identity_of_another_dimension_may_be_served_beside(self, store: Store, db: str) -> None:
        small = store.under(Identity("small", "1" * 64, 1, 8))
        small.add(db, [Point(uuid.uuid4(), "small", unit(1, 8))])
        assert names(small.search(db, unit(1, 8), 50, 0.9)) == ["small"]
        with pytest.raises(InvalidVector):
            small.add(db, [face(1)])

    def test_a_dropped_collection_may_begin_again_with_another_identity(self, store: Store, db: str) -> None:
        theirs = store.under(THEIRS)
        theirs.add(db, [face(1, "before")])
        assert store.identity_of(db) == THEIRS
        store.drop(db)
        assert store.identity_of(db) is theirs.identity_of(db) is None
        store.add(db, [face(1, "after")])
        assert store.identity_of(db) == theirs.identity_of(db) == OURS
        assert names(store.search(db, unit(1), 50, 0.9)) == ["after"]

    def test_an_emptied_collection_takes_faces_of_the_identity_that_it_names(self, store: Store, db: str) -> None:
        theirs, point = store.under(THEIRS), face(1)
        theirs.add(db, [point])
        theirs.delete(db, point.person_id)
        store.compact(db, lambda: None)
        store.under(store.identity_of(db) or OURS).add(db, [face(2, "again")])
        view = store.under(store.identity_of(db) or OURS)
        assert names(view.search(db, unit(2), 50, 0.9)) == ["again"]

    def test_closing_one_closes_all(self, store: Store, db: str) -> None:
        theirs = store.under(THEIRS)
        theirs.add(db, [face(1)])
        theirs.close()
        for call in (store.check, lambda: store.identity_of(db), lambda: theirs.count(db)):
            with pytest.raises(StoreUnavailable):
                call()


@pytest.mark.slow
def test_many_threads_may_use_the_store_at_once(backend: Backend, store: Store) -> None:
    """Each thread sees its own writes at once, in collections that all of them share."""
    shared = [backend.name() for _ in range(5)]  # more than Edge may keep open here
    start = threading.Barrier(8)

    def work(thread: int) -> None:
        start.wait()
        for turn in range(10):
            db = shared[(thread + turn) % len(shared)]
            kept, gone = face(1000 * thread + turn, f"kept{thread}"), face(9999, "gone")
            store.add(db, [kept, gone])
            assert kept.person_id in {m.person_id for m in store.search(db, kept.vector, 5, 0.99)}
            assert store.contains(db, gone.person_id)
            store.delete(db, gone.person_id)
            assert not store.contains(db, gone.person_id)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    assert sum(store.count(db) for db in shared) == 80


@pytest.mark.slow
def test_a_drop_during_writes_removes_only_earlier_points(store: Store, db: str) -> None:
    start = threading.Barrier(4)

    def write() -> None:
        start.wait()
        for turn in range(30):
            store.add(db, [face(turn)])
            store.search(db, unit(turn), 50, 0)

    def drop() -> None:
        start.wait()
        for _ in range(10):
            store.drop(db)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write), pool.submit(write), pool.submit(write), pool.submit(drop)]:
            done.result()
    assert store.count(db) <= 90
    assert len(store.search(db, unit(1), 100, -1)) == store.count(db)


def test_check_passes_while_open_and_every_call_fails_once_closed(backend: Backend, db: str) -> None:
    store = backend.open()
    store.add(db, [face(1)])
    store.check()
    store.close()
    store.close()

    calls: list[Callable[[], object]] = [
        store.check,
        store.collections,
        lambda: store.add(db, [face(1)]),
        lambda: store.search(db, unit(1), 50, 0),
        lambda: store.contains(db, uuid.uuid4()),
        lambda: list(store.points(db)),
        lambda: store.delete(db, uuid.uuid4()),
        lambda: store.count(db),
        lambda: store.drop(db),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


SEEDS = st.integers(0, 7)
COLLECTIONS = st.sampled_from(["first", "second"])
PAIRS = st.lists(st.tuples(SEEDS, SEEDS), max_size=4, unique_by=lambda pair: pair[0])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), COLLECTIONS, PAIRS),
        st.tuples(st.just("delete"), COLLECTIONS, SEEDS),
        st.tuples(st.just("drop"), COLLECTIONS, st.none()),
        st.tuples(st.just("search"), COLLECTIONS, st.tuples(SEEDS, st.sampled_from([-1.0, 0.0, 0.363, 0.9]))),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS)
def test_any_sequence_of_operations_has_the_result_of_the_reference(operations: list[tuple[str, str, object]]) -> None:
    require_the_result_of_the_reference(edge, operations)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=OPERATIONS)
def test_a_sequence_on_a_server_has_the_result_of_the_reference(
    backends: Backends, kind: str, operations: list[tuple[str, str, object]]
) -> None:
    require_the_result_of_the_reference(backends[kind], operations)


def require_the_result_of_the_reference(opening: Opening, operations: list[tuple[str, str, object]]) -> None:
    with opening() as backend:
        reference, store = MemoryStore(OURS), backend.open()
        collections = {"first": backend.name(), "second": backend.name()}
        for operation, which, argument in operations:
            apply(operation, collections[which], argument, reference, store)
        for name in collections.values():
            assert store.count(name) == reference.count(name)
            for seed in range(8):
                person_id = uuid.UUID(int=seed)
                assert store.contains(name, person_id) == reference.contains(name, person_id)
            same(store.search(name, unit(0), 50, -1), reference.search(name, unit(0), 50, -1))


def apply(operation: str, db: str, argument: object, reference: Store, store: Store) -> None:
    """Do the operation on both. Ids and vectors are drawn from eight each, so that they repeat."""
    match operation, argument:
        case "add", list(pairs):
            points = [Point(uuid.UUID(int=number), f"P{seed}", unit(seed)) for number, seed in pairs]
            reference.add(db, points)
            store.add(db, points)
        case "delete", int(number):
            reference.delete(db, uuid.UUID(int=number))
            store.delete(db, uuid.UUID(int=number))
        case "search", (int(seed), float(min_cosine)):
            same(store.search(db, unit(seed), 50, min_cosine), reference.search(db, unit(seed), 50, min_cosine))
        case _:
            reference.drop(db)
            store.drop(db)


def same(found: list[Match], expected: list[Match]) -> None:
    """Require that matches are equal but for float32 rounding."""
    assert found == sorted(found, key=lambda m: (-m.cosine, m.person_id))
    assert [m.cosine for m in found] == pytest.approx([m.cosine for m in expected], abs=1e-6)
    assert {m.person_id: m.name for m in found} == {m.person_id: m.name for m in expected}
    cosines = {m.person_id: m.cosine for m in expected}
    assert [m.cosine for m in found] == pytest.approx([cosines[m.person_id] for m in found], abs=1e-6)


class TestCompacting:
    def test_points_stay_while_other_threads_add(self, store: Store, db: str) -> None:
        before = [face(seed) for seed in range(2 * PAGE)]
        store.add(db, before)
        store.delete(db, before[0].person_id)
        later = [face(1000 + seed) for seed in range(40)]
        with ThreadPoolExecutor(4) as pool:
            adding = [pool.submit(store.add, db, [point]) for point in later]
            store.compact(db, lambda: None)
            for each in adding:
                each.result()
        assert {p.person_id for p in store.points(db)} == {p.person_id for p in (*before[1:], *later)}

    def test_compacting_an_unknown_collection_is_no_error(self, store: Store, db: str) -> None:
        store.compact(db, lambda: None)
        assert store.count(db) == 0
