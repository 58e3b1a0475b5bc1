"""Several workers on one Qdrant, in local mode: changes by another worker, and collections of others."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import IdentityMismatch, Point, Store, StoreError, StoreUnavailable
from worker.store.qdrant.retries import Retries
from worker.store.qdrant.shared_collection import SharedQdrantStore
from worker.store.qdrant.store import QdrantStore

pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact", "ignore:Payload indexes have no effect")

OURS = Identity("sface", "0" * 64, 1, 4)
THEIRS = Identity("sface", "0" * 64, 2, 4)
AXIS = np.eye(4, dtype=np.float32)[0]


def face(name: str = "") -> Point:
    return Point(uuid.uuid4(), name, AXIS)


def opened(client: QdrantClient, identity: Identity) -> Store:
    return QdrantStore(client, Retries(5), identity, Settings())


def opened_shared(client: QdrantClient, identity: Identity) -> Store:
    return SharedQdrantStore(client, Retries(5), identity, Settings(placement="shared"))


class CountingClient(QdrantClient):
    """A client that counts requests for a collection's description and lets a test intervene before a creation."""

    asked = 0

    def get_collection(self, *args, **kwargs):
        self.asked += 1
        return super().get_collection(*args, **kwargs)

    def create_collection(self, *args, **kwargs):
        self.before_create(*args, **kwargs)
        return super().create_collection(*args, **kwargs)

    def before_create(self, *args, **kwargs) -> None:
        pass


@pytest.fixture
def client() -> Iterator[CountingClient]:
    client = CountingClient(":memory:")
    yield client
    client.close()


def test_the_identity_is_stored_on_the_server(client: CountingClient) -> None:
    opened(client, OURS).add("db", [face()])
    assert Identity.parse(client.get_collection("db").config.metadata["facesearch_identity"]) == OURS


def test_the_description_of_a_collection_is_requested_once(client: CountingClient) -> None:
    opened(client, OURS).add("db", [face()])
    store = opened(client, OURS)
    client.asked = 0
    for _ in range(5):
        store.search("db", AXIS, 50, 0)
        store.add("db", [face()])
    assert client.asked == 1


def test_the_identity_of_a_collection_takes_no_request_of_its_own(client: CountingClient) -> None:
    opened(client, THEIRS).add("db", [face("theirs")])
    store = opened(client, OURS)
    client.asked = 0
    for _ in range(5):
        assert store.identity_of("db") == THEIRS
        assert store.under(THEIRS).search("db", AXIS, 50, 0)
    assert client.asked == 1


def test_an_identity_that_has_changed_is_asked_for_after_a_refusal(client: CountingClient) -> None:
    store, other = opened(client, OURS), opened(client, THEIRS)
    store.add("db", [face()])
    assert store.identity_of("db") == OURS
    other.drop("db")
    other.add("db", [face("theirs")])
    with pytest.raises(IdentityMismatch):
        store.search("db", AXIS, 50, 0)
    assert store.identity_of("db") == THEIRS
    assert [match.name for match in store.under(THEIRS).search("db", AXIS, 50, 0)] == ["theirs"]


def test_two_workers_may_create_the_same_collection_at_once(client: CountingClient) -> None:
    client.before_create = lambda *args, **kwargs: QdrantClient.create_collection(client, *args, **kwargs)
    store = opened(client, OURS)
    store.add("db", [face("late")])
    assert [m.name for m in store.search("db", AXIS, 50, 0)] == ["late"]


def test_the_later_of_two_identities_that_create_a_collection_at_once_is_refused(client: CountingClient) -> None:
    def other_first(*_: object, **__: object) -> None:
        client.before_create = lambda *_, **__: None
        opened(client, THEIRS).add("db", [face("theirs")])

    client.before_create = other_first
    with pytest.raises(IdentityMismatch):
        opened(client, OURS).add("db", [face()])
    assert client.count("db").count == 1


def test_a_collection_dropped_by_another_worker_is_empty_until_the_next_add(client: CountingClient) -> None:
    ours, other = opened(client, OURS), opened(client, OURS)
    point = face("old")
    ours.add("db", [point])

    other.drop("db")
    assert ours.search("db", AXIS, 50, 0) == []
    assert not ours.contains("db", point.person_id)
    ours.delete("db", point.person_id)

    ours.add("db", [point])
    other.drop("db")
    ours.add("db", [face("new")])
    assert [m.name for m in other.search("db", AXIS, 50, 0)] == ["new"]


def test_a_collection_recreated_with_another_model_is_refused(client: CountingClient) -> None:
    ours, theirs = opened(client, OURS), opened(client, THEIRS)
    ours.add("db", [face()])
    for call in (lambda: ours.search("db", AXIS, 50, 0), lambda: ours.add("db", [face()])):
        ours.drop("db")
        ours.add("db", [face()])
        theirs.drop("db")
        theirs.add("db", [face("theirs")])
        with pytest.raises(IdentityMismatch):
            call()
    assert theirs.count("db") == 1


def test_collections_of_others_on_the_server_are_not_touched(client: CountingClient) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client.create_collection("foreign", vectors_config=vectors)
    client.create_collection("labelled", vectors_config=vectors, metadata={"owner": "somebody"})
    store = opened(client, OURS)
    store.add("db", [face()])

    assert store.collections() == ["db"]
    for name in ("foreign", "labelled"):
        for call in (
            lambda name=name: store.add(name, [face()]),
            lambda name=name: store.search(name, AXIS, 50, 0),
            lambda name=name: store.contains(name, uuid.uuid4()),
            lambda name=name: store.delete(name, uuid.uuid4()),
            lambda name=name: store.drop(name),
        ):
            with pytest.raises(IdentityMismatch, match="not made by facesearch"):
                call()
        assert client.collection_exists(name)


def test_a_refusal_contains_no_name_of_a_face(client: CountingClient) -> None:
    store = opened(client, OURS)
    store.add("db", [face()])
    client.upsert = lambda *_, **__: (_ for _ in ()).throw(ValueError('cannot read "Ada Lovelace" near [0.1, 0.2]'))
    with pytest.raises(StoreError) as refused:
        store.add("db", [face("Ada Lovelace")])
    assert str(refused.value) == "cannot read ... near ..."
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_write_that_is_only_acknowledged_and_not_completed_is_an_error(client: CountingClient) -> None:
    opened(client, OURS).add("db", [face()])
    pending = models.UpdateResult(operation_id=1, status=models.UpdateStatus.WAIT_TIMEOUT)
    client.upsert = lambda *_, **__: pending
    with pytest.raises(StoreUnavailable, match="wait_timeout"):
        QdrantStore(client, Retries(0.1), OURS, Settings()).add("db", [face()])


class TestSharedPlacement:
    """All facedbs in one collection."""

    def test_at_most_one_of_two_identities_that_begin_a_facedb_at_once_succeeds(self, client: CountingClient) -> None:
        ours, theirs = opened_shared(client, OURS), opened_shared(client, THEIRS)
        upsert = client.upsert

        def other_first(*args: object, **kwargs: object) -> object:
            client.upsert = upsert
            theirs.add("db", [face("theirs")])
            return upsert(*args, **kwargs)

        client.upsert = other_first
        with pytest.raises(IdentityMismatch):
            ours.add("db", [face("ours")])
        assert [match.name for match in theirs.search("db", AXIS, 50, 0)] == ["theirs"]
        assert ours.count("db") == 1

    def test_an_emptied_facedb_that_two_identities_begin_again_at_once_gets_one(self, client: CountingClient) -> None:
        """Also where one of the two has added to the facedb before."""
        ours, theirs, point = opened_shared(client, OURS), opened_shared(client, THEIRS), face("before")
        ours.add("db", [point])
        assert ours.identity_of("db") == OURS
        ours.delete("db", point.person_id)
        upsert = client.upsert

        def other_first(*args: object, **kwargs: object) -> object:
            client.upsert = upsert
            theirs.add("db", [face("theirs")])
            return upsert(*args, **kwargs)

        client.upsert = other_first
        with pytest.raises(IdentityMismatch):
            ours.add("db", [face("ours")])
        assert ours.identity_of("db") == theirs.identity_of("db") == THEIRS
        assert [match.name for match in ours.under(THEIRS).search("db", AXIS, 50, 0)] == ["theirs"]
        assert ours.count("db") == 1

    def test_the_identity_of_a_facedb_is_asked_for_until_it_has_faces(self, client: CountingClient) -> None:
        asked: list[str] = []
        count = client.count

        def counted(name: str, *args: object, **kwargs: object) -> object:
            asked.append(name)
            return count(name, *args, **kwargs)

        client.count = counted
        store, other = opened_shared(client, OURS), opened_shared(client, THEIRS)
        assert store.identity_of("db") is None
        other.add("db", [face()])
        asked.clear()
        assert [store.identity_of("db") for _ in range(5)] == [THEIRS] * 5
        assert len(asked) == 1

    def test_a_facedb_that_was_filled_with_another_model_is_refused(self, client: CountingClient) -> None:
        ours, theirs = opened_shared(client, OURS), opened_shared(client, THEIRS)
        person = face()
        ours.add("db", [person])
        theirs.drop("db")
        theirs.add("db", [face("theirs")])
        for call in (
            lambda: ours.add("db", [face()]),
            lambda: ours.search("db", AXIS, 50, 0),
            lambda: ours.contains("db", person.person_id),
            lambda: ours.delete("db", person.person_id),
        ):
            with pytest.raises(IdentityMismatch):
                call()
        assert theirs.count("db") == 1

    def test_the_same_person_in_two_facedbs_is_two_points(self, client: CountingClient) -> None:
        store, person = opened_shared(client, OURS), face("Ada")
        for facedb in ("a.x", "a.y"):
            store.add(facedb, [person])
        store.delete("a.x", person.person_id)
        assert not store.contains("a.x", person.person_id)
        (match,) = store.search("a.y", AXIS, 50, 0)
        assert match.person_id == person.person_id

    def test_a_missing_index_is_created_by_the_next_worker(self, client: CountingClient) -> None:
        """The worker that created the collection may have died before it created the index."""
        made: list[str] = []
        create = client.create_payload_index

        def index(name: str, field: str, *args: object, **kwargs: object) -> object:
            made.append(field)
            return create(name, field, *args, **kwargs)

        client.create_payload_index = index
        opened_shared(client, OURS).add("db", [face()])
        opened_shared(client, OURS).search("db", AXIS, 50, 0)
        assert made == ["facedb", "facedb"]

    def test_a_facedb_of_the_other_placement_is_refused(self, client: CountingClient) -> None:
        separate, shared = opened(client, OURS), opened_shared(client, OURS)
        separate.add("tenant.alone", [face()])
        shared.add("tenant.among-others", [face()])
        for call in (
            lambda: shared.add("tenant.alone", [face()]),
            lambda: shared.search("tenant.alone", AXIS, 50, 0),
            lambda: separate.add("tenant.among-others", [face()]),
            lambda: separate.search("tenant.among-others", AXIS, 50, 0),
        ):
            with pytest.raises(StoreError, match="FACESEARCH_PLACEMENT"):
                call()
        assert separate.collections() == ["tenant.alone"]
        assert shared.collections() == ["tenant.among-others"]
