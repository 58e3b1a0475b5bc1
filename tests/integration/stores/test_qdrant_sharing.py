"""Several workers on one Qdrant: what one does behind another's back, and what is not facesearch's. In local mode."""

import uuid
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from worker.models.identity import Identity
from worker.store.base import IdentityMismatch, Point, StoreError, StoreUnavailable
from worker.store.qdrant import METADATA_KEY, QdrantStore
from worker.store.qdrant_calls import connect

pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")

OURS = Identity("sface", "0" * 64, 1, 4)
THEIRS = Identity("sface", "0" * 64, 2, 4)
AXIS = np.eye(4, dtype=np.float32)[0]


def face(name: str = "") -> Point:
    return Point(uuid.uuid4(), name, AXIS)


class CountingClient(QdrantClient):
    """Counts the calls that ask what a collection is, and lets a test come in between asking and making."""

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


def test_the_identity_can_be_read_on_the_server(client: CountingClient) -> None:
    QdrantStore(client, OURS).add("db", [face()])
    assert Identity.parse(client.get_collection("db").config.metadata[METADATA_KEY]) == OURS


def test_what_a_collection_is_gets_asked_once(client: CountingClient) -> None:
    QdrantStore(client, OURS).add("db", [face()])
    store = QdrantStore(client, OURS)
    client.asked = 0
    for _ in range(5):
        store.search("db", AXIS, 50, 0)
        store.add("db", [face()])
    assert client.asked == 1


def test_two_workers_make_the_same_collection_at_once(client: CountingClient) -> None:
    client.before_create = lambda *args, **kwargs: QdrantClient.create_collection(client, *args, **kwargs)
    store = QdrantStore(client, OURS)
    store.add("db", [face("late")])
    assert [m.name for m in store.search("db", AXIS, 50, 0)] == ["late"]


def test_of_two_identities_that_make_it_at_once_the_later_is_refused(client: CountingClient) -> None:
    def other_first(*_: object, **__: object) -> None:
        client.before_create = lambda *_, **__: None
        QdrantStore(client, THEIRS).add("db", [face("theirs")])

    client.before_create = other_first
    with pytest.raises(IdentityMismatch):
        QdrantStore(client, OURS).add("db", [face()])
    assert client.count("db").count == 1


def test_dropped_by_another_worker_it_is_empty_and_comes_back_with_the_next_add(client: CountingClient) -> None:
    ours, other = QdrantStore(client, OURS), QdrantStore(client, OURS)
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


def test_made_again_by_another_model_behind_our_back_it_is_refused(client: CountingClient) -> None:
    ours, theirs = QdrantStore(client, OURS), QdrantStore(client, THEIRS)
    ours.add("db", [face()])
    for call in (lambda: ours.search("db", AXIS, 50, 0), lambda: ours.add("db", [face()])):
        ours.drop("db")
        ours.add("db", [face()])
        theirs.drop("db")
        theirs.add("db", [face("theirs")])
        with pytest.raises(IdentityMismatch):
            call()
    assert theirs.count("db") == 1


def test_what_others_keep_on_the_server_is_left_alone(client: CountingClient) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client.create_collection("foreign", vectors_config=vectors)
    client.create_collection("labelled", vectors_config=vectors, metadata={"owner": "somebody"})
    store = QdrantStore(client, OURS)
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


def test_a_refusal_tells_no_name(client: CountingClient) -> None:
    store = QdrantStore(client, OURS)
    store.add("db", [face()])
    client.upsert = lambda *_, **__: (_ for _ in ()).throw(ValueError('cannot read "Ada Lovelace" near [0.1, 0.2]'))
    with pytest.raises(StoreError) as refused:
        store.add("db", [face("Ada Lovelace")])
    assert str(refused.value) == "cannot read ... near ..."
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_server_that_is_not_there_is_unavailable_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = QdrantStore(connect("http://127.0.0.1:1", "a-key", timeout=2), OURS)
        for call in (
            store.check,
            store.collections,
            lambda: store.add("db", [face()]),
            lambda: store.search("db", AXIS, 50, 0),
            lambda: store.count("db"),
            lambda: store.drop("db"),
        ):
            with pytest.raises(StoreUnavailable, match="ConnectError"):
                call()
        store.close()
    assert capfd.readouterr() == ("", "")
