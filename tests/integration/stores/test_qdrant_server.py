"""The requests of a store to a Qdrant server, over REST and gRPC, and the handling of its failures.

The server is the stand-in of tests/qdrant_server.py, which records requests. A server that hangs is a stopped process.
"""

import hashlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from qdrant_client import models
from qdrant_client.qdrant_remote import QdrantRemote
from structlog.testing import capture_logs

from processes import wait_for
from qdrant_server import Server, served
from redis_servers import make_certificate
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Face, Point, Store, StoreError, StoreUnavailable
from worker.store.faces import with_faces
from worker.store.qdrant import collection_limit, search
from worker.store.qdrant.backend import open_qdrant

OURS = Identity("sface", "0" * 64, 1, 4)
AXIS = np.eye(4, dtype=np.float32)[0]
KEY = "a key for tests"
PATIENT = {"store_timeout_s": 30, "visibility_timeout_s": 60}  # a busy machine is not under test

pytestmark = pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])


def face(name: str = "") -> Point:
    return Point(uuid.uuid4(), name, AXIS)


@contextmanager
def opened(server: Server, identity: Identity = OURS, **more: object) -> Iterator[Store]:
    usual = {"qdrant_api_key": KEY, **PATIENT}
    settings = Settings(qdrant_url=server.url, qdrant_grpc_port=server.grpc_port, **(usual | more))
    with closing(open_qdrant(settings, identity)) as store:
        yield store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not change it. They recognise their calls by their collections' names."""
    with served(tmp_path_factory.mktemp("qdrant"), KEY, peers=3) as running:
        yield running


@pytest.fixture
def db() -> str:
    return f"tenant.{uuid.uuid4().hex}"


def sent(server: Server, call: str, collection: str) -> list[dict]:
    return [made for made in server.calls(call) if made["collection"] == collection]


class TestRequests:
    def test_a_collection_is_created_as_the_settings_say(self, server: Server, db: str, grpc: bool) -> None:
        asked = {
            "qdrant_shards": 3,
            "qdrant_replicas": 2,
            "qdrant_write_consistency": 2,
            "qdrant_on_disk": True,
        }
        with opened(server, qdrant_grpc=grpc, **asked) as store:
            store.add(db, [face()])
        (made,) = sent(server, "create", db)
        body = made["body"]
        (vectors,) = body["vectors"].values()
        assert vectors == {"size": 4, "distance": "Cosine", "on_disk": True}
        assert body["hnsw_config"] == {"m": 0}, "all int8 copies are compared"
        assert body["quantization_config"]["scalar"] == {
            "type": "int8",
            "quantile": pytest.approx(0.99),
            "always_ram": True,
        }
        assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (3, 2, 1)
        assert body["metadata"] == {"facesearch_identity": str(OURS)}

    def test_by_default_a_collection_is_for_one_node(self, server: Server, db: str, grpc: bool) -> None:
        with opened(server, qdrant_grpc=grpc, qdrant_quantization="none") as store:
            store.add(db, [face()])
        (made,) = sent(server, "create", db)
        body = made["body"]
        assert "quantization_config" not in body
        assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (1, 1, 1)

    def test_a_shared_collection_has_a_graph_for_each_large_facedb_and_an_index_of_facedbs(
        self, server: Server, db: str, grpc: bool
    ) -> None:
        asked = {"placement": "shared", "qdrant_hnsw_m": 24, "qdrant_graph_from": 640_000}
        with opened(server, Identity("sface", uuid.uuid4().hex * 2, 1, 4), qdrant_grpc=grpc, **asked) as store:
            store.add(db, [face()])
            home = store._home
        (made,) = sent(server, "create", home)
        assert made["body"]["hnsw_config"] == {
            "m": 0,
            "payload_m": 24,
            "ef_construct": 256,
            "full_scan_threshold": 10_000,  # KiB of 640,000 vectors of four floats
        }
        (index,) = sent(server, "index", home)
        assert index["body"] == {"field_name": "facedb", "field_schema": {"type": "keyword", "is_tenant": True}}

    def test_a_change_of_faces_has_a_condition_and_one_order_where_there_are_replicas(
        self, server: Server, db: str, grpc: bool
    ) -> None:
        for replicas, ordering in ((1, "weak"), (2, "strong")):
            person = face()
            with opened(server, qdrant_grpc=grpc, qdrant_replicas=replicas) as store:
                store.add(db, [person])
                (read,) = store.get(db, [person.person_id])
                store.replace(db, read, with_faces(read, [*read.faces, Face(uuid.uuid4(), person.vector)]))
                (index,) = sent(server, "index", db)
                assert index["body"]["field_name"] == "face_count", "made once, before anybody has several faces"
                upsert = sent(server, "upsert", db)[-1]
                assert (upsert["wait"], upsert["ordering"]) == ("true", ordering)
                assert upsert["body"]["update_mode"] == "update_only"
                keys = [
                    each.get("key") or each.get("is_empty", each) for each in upsert["body"]["update_filter"]["must"]
                ]
                assert len(keys) == 5, "the id, three attributes and the revision"
                (read,) = store.get(db, [person.person_id])
                store.replace(db, read, None)
                removal = sent(server, "delete", db)[-1]
                assert (removal["wait"], removal["ordering"]) == ("true", ordering)
                assert len(removal["body"]["filter"]["must"]) == 5
                assert store.count(db) == 0

    def test_a_server_that_would_ignore_conditions_keeps_no_several_faces(
        self, server: Server, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = models.VersionInfo(title="qdrant", version="1.16.3")
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [person := face()])
            (read,) = store.get(db, [person.person_id])
            with monkeypatch.context() as before:
                before.setattr(store._client, "info", lambda: old)
                with pytest.raises(StoreError, match=r"Qdrant 1\.16 cannot keep several faces"):
                    store.replace(db, read, with_faces(read, [*read.faces, Face(uuid.uuid4(), person.vector)]))
            assert not sent(server, "upsert", db)[1:]

    def test_writes_wait_and_are_ordered_where_there_are_replicas(self, server: Server, db: str, grpc: bool) -> None:
        person = face()
        for replicas, ordering in ((1, "weak"), (2, "medium")):
            with opened(server, qdrant_grpc=grpc, qdrant_replicas=replicas) as store:
                store.add(db, [person])
                store.update(db, person.person_id, {"name": "Ada"})
                store.delete(db, person.person_id)
            for call in ("upsert", "set_payload", "delete"):
                last = sent(server, call, db)[-1]
                assert (last["wait"], last["ordering"]) == ("true", ordering)

    def test_small_collections_are_searched_exactly_and_large_ones_by_int8_copies(
        self, server: Server, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "COUNTED_FOR_S", 0)
        with opened(server, qdrant_grpc=grpc, exact_below=3, qdrant_oversampling=3, qdrant_hnsw_ef=100) as store:
            for faces in range(1, 4):
                store.add(db, [face()])
                assert len(store.search(db, AXIS, 50, 0.5)) == faces
        few, still_few, many = (made["body"]["params"] for made in sent(server, "query", db))
        assert few["exact"]
        assert still_few == few
        assert not many["exact"]
        assert many["hnsw_ef"] == 100
        assert not many["indexed_only"]
        assert many["quantization"]["rescore"]
        assert many["quantization"]["oversampling"] == 3

    def test_small_facedbs_of_a_shared_collection_are_searched_exactly_and_large_ones_by_int8_copies(
        self, server: Server, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "COUNTED_FOR_S", 0)
        other = f"{db}-other"
        with opened(server, qdrant_grpc=grpc, placement="shared", exact_below=3) as store:
            store.add(db, [face() for _ in range(3)])
            store.add(other, [face()])
            for name in (db, other):
                store.search(name, AXIS, 50, 0.5)
            by_copies, exactly = (made["body"] for made in sent(server, "query", store._home)[-2:])
        assert not by_copies["params"]["exact"]
        assert exactly["params"]["exact"]
        assert by_copies["filter"]["must"] == [{"key": "facedb", "match": {"value": db}}]

    def test_an_add_overwrites_nothing(self, server: Server, db: str, grpc: bool) -> None:
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face()])
        (made,) = sent(server, "upsert", db)
        assert made["body"]["update_mode"] == "insert_only"

    def test_a_search_asks_for_nothing_but_names_and_ids(self, server: Server, db: str, grpc: bool) -> None:
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face()])
            store.search(db, AXIS, 50, 0.5)
        (made,) = sent(server, "query", db)
        assert made["body"]["with_payload"] == ["name", "person_id"]

    def test_a_change_is_one_request_that_makes_no_point(self, server: Server, db: str, grpc: bool) -> None:
        person = face()
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [person])
            assert store.update(db, person.person_id, {"name": "Ada", "external_id": None})
            assert not store.update(db, uuid.uuid4(), {"name": "Ada"})
        (made,) = sent(server, "set_payload", db)
        assert made["body"]["payload"] == {"name": "Ada", "external_id": None}
        assert made["body"]["filter"]["must"] == [{"has_id": [str(person.person_id)]}]

    def test_indexes_of_attributes_are_made_by_the_first_listing_that_needs_them(
        self, server: Server, db: str, grpc: bool
    ) -> None:
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face("Ada")])
            store.search(db, AXIS, 50, 0.5)
            assert indexes(server, db) == []
            for _ in range(2):
                store.page(db, None, 10)
            assert indexes(server, db) == ["added"]
            store.page(db, None, 10, name="Ada")
            store.page(db, None, 10, external_id="x", name="Ada")
            assert indexes(server, db) == ["added", "name", "external_id"]
        with opened(server, qdrant_grpc=grpc) as another:
            assert len(another.page(db, None, 10, name="Ada")) == 1
        times, names, _ = (made["body"]["field_schema"] for made in sent(server, "index", db))
        assert times == {"type": "integer", "lookup": False, "range": True, "on_disk": True}
        assert names == {"type": "keyword", "on_disk": True}
        assert len(indexes(server, db)) == 3

    def test_the_number_of_faces_is_cached(self, server: Server, db: str, grpc: bool) -> None:
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face()])
            for _ in range(5):
                store.search(db, AXIS, 50, 0.5)
        assert len(sent(server, "count", db)) == 1


class TestExistingCollections:
    """Parameters of collections follow the settings and the number of faces."""

    def test_a_collection_has_a_graph_while_it_is_large(
        self, server: Server, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "COUNTED_FOR_S", 0)
        people = [face() for _ in range(10)]
        graph = {"m": 24, "ef_construct": 200}
        asked = {"qdrant_graph_from": 10, "qdrant_hnsw_m": 24, "qdrant_hnsw_ef_construct": 200, "exact_below": 2}
        with opened(server, qdrant_grpc=grpc, **asked) as store:
            store.add(db, people[:9])
            store.search(db, AXIS, 50, 0.5)
            assert sent(server, "change", db) == []
            store.add(db, people[9:])
            store.search(db, AXIS, 50, 0.5)
            wait_for(lambda: changes(server, db) == [graph])
            for person in people[:2]:
                store.delete(db, person.person_id)
            store.search(db, AXIS, 50, 0.5)
            assert changes(server, db) == [graph], "kept as long as there are four fifths of the number"
            store.delete(db, people[2].person_id)
            assert len(store.search(db, AXIS, 50, 0.5)) == 7
            wait_for(lambda: changes(server, db) == [graph, {"m": 0}])

    def test_a_collection_of_an_old_release_loses_its_graph_and_its_write_consistency(
        self, server: Server, db: str, grpc: bool
    ) -> None:
        make_old(server, db)
        with opened(server, qdrant_grpc=grpc, exact_below=2) as store:
            store.add(db, [face(), face()])
            assert len(store.search(db, AXIS, 50, 0.5)) == 2
            wait_for(lambda: len(sent(server, "change", db)) == 2)
            store.search(db, AXIS, 50, 0.5)
        assert [made["body"] for made in sent(server, "change", db)] == [
            {"params": {"write_consistency_factor": 1}},
            {"hnsw_config": {"m": 0}},
        ]

    def test_persons_of_an_old_release_are_listed_first(self, server: Server, db: str, grpc: bool) -> None:
        make_old(server, db, write_consistency=1)
        old, new = [face(f"old{n}") for n in range(5)], Point(uuid.uuid4(), "new", AXIS, added=1)
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [new, *old])
            first = store.page(db, None, 3)
            rest = store.page(db, first[-1].position, 3)
        in_order = sorted(old, key=lambda point: point.person_id)
        assert first + rest == [point.person for point in [*in_order, new]]

    def test_collections_that_are_searched_exactly_stay_as_they_are(self, server: Server, db: str, grpc: bool) -> None:
        make_old(server, db, write_consistency=1)
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face()])
            store.search(db, AXIS, 50, 0.5)
        assert sent(server, "change", db) == []

    def test_workers_with_different_settings_do_not_undo_each_others_changes(
        self, server: Server, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "COUNTED_FOR_S", 0)
        asked = {"qdrant_grpc": grpc, "qdrant_graph_from": 1, "exact_below": 1}
        with (
            opened(server, **asked, qdrant_hnsw_m=24) as one,
            opened(server, **asked, qdrant_hnsw_m=48) as other,
        ):
            one.add(db, [face()])
            for number, store in enumerate((one, other), 1):
                store.search(db, AXIS, 50, 0.5)
                wait_for(lambda number=number: len(sent(server, "change", db)) == number)
            for store in (one, other):
                store.search(db, AXIS, 50, 0.5)
        assert [change["m"] for change in changes(server, db)] == [24, 48]


@pytest.fixture(scope="module")
def rest_of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node of two that have a copy each. The other one is out of service for good, as this one reports it."""
    with served(tmp_path_factory.mktemp("qdrant"), KEY, peers=2, lost=1) as running:
        yield running


class TestLostNode:
    def test_writes_fail_and_searches_do_not_where_two_copies_are_asked_for(
        self, rest_of_two: Server, db: str, grpc: bool
    ) -> None:
        person = face("Ada")
        with opened(rest_of_two, qdrant_grpc=grpc, qdrant_replicas=2) as content:
            content.add(db, [person])
        asked = {"qdrant_replicas": 2, "qdrant_write_consistency": 2, "store_timeout_s": 1}
        with opened(rest_of_two, qdrant_grpc=grpc, **asked) as store:
            writes: list[Callable[[], object]] = [
                lambda: store.add(db, [face()]),
                lambda: store.update(db, person.person_id, {"name": "Eve"}),
                lambda: store.delete(db, person.person_id),
            ]
            for write in writes:
                with pytest.raises(StoreUnavailable, match=r"1 of 2 copies .* are in service: replace the lost node"):
                    write()
            assert store.search(db, AXIS, 50, 0.5)

    def test_the_server_itself_never_refuses_a_write_for_want_of_copies(
        self, rest_of_two: Server, db: str, grpc: bool
    ) -> None:
        with opened(rest_of_two, qdrant_grpc=grpc, qdrant_replicas=2) as store:
            store.add(db, [face()])
        (made,) = sent(rest_of_two, "create", db)
        assert made["body"]["write_consistency_factor"] == 1


def changes(server: Server, collection: str) -> list[dict]:
    """Return the changes of graphs that were asked for."""
    return [made["body"]["hnsw_config"] for made in sent(server, "change", collection)]


def indexes(server: Server, collection: str) -> list[str]:
    """Return the keys of the indexes that were asked for."""
    return [made["body"]["field_name"] for made in sent(server, "index", collection)]


def make_old(server: Server, name: str, write_consistency: int = 2) -> None:
    """Make a collection as release 0.1 does."""
    vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
    with closing(QdrantRemote(url=server.url, headers={"api-key": KEY}, check_compatibility=False)) as client:
        client.create_collection(
            name,
            vectors_config={hashlib.sha256(str(OURS).encode()).hexdigest()[:16]: vectors},
            hnsw_config=models.HnswConfigDiff(m=16, ef_construct=128),
            replication_factor=2,
            write_consistency_factor=write_consistency,
            metadata={"facesearch_identity": str(OURS)},
        )


@pytest.mark.slow
def test_a_warning_of_many_collections_comes_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grpc: bool
) -> None:
    monkeypatch.setattr(collection_limit, "MANY", 3)
    with served(tmp_path) as server, opened(server, qdrant_grpc=grpc) as store, capture_logs() as logs:
        for number in range(3):
            store.add(f"t.db{number}", [face()])  # the first one is counted, the others come within the same minute
        assert logs == []
        monkeypatch.setattr(store._collections._limit, "_count_from", 0)
        for number in range(3, 6):
            store.add(f"t.db{number}", [face()])
    (warning,) = logs
    assert (warning["event"], warning["count"], warning["limit"]) == ("collections_many", 4, 1000)
    assert "FACESEARCH_PLACEMENT=shared" in warning["advice"]


@pytest.mark.slow
class TestFailures:
    def test_a_server_that_restarts_in_time_is_reached_again(self, tmp_path: Path, db: str, grpc: bool) -> None:
        found: list[int] = []
        with served(tmp_path) as first, opened(first, qdrant_grpc=grpc) as store:
            store.add(db, [face()])
            first.process.kill()
            first.process.wait()
            with pytest.raises(StoreUnavailable), opened(first, qdrant_grpc=grpc, store_timeout_s=1) as impatient:
                impatient.check()

            searching = Thread(target=lambda: found.append(len(store.search(db, AXIS, 50, 0.5))))
            searching.start()
            with served(tmp_path, ports=(first.port, first.grpc_port)):
                searching.join()
                store.add(db, [face()])
                assert store.count(db) == 2
        assert found == [1]

    def test_a_call_to_a_hanging_server_fails_within_the_time_limit(self, tmp_path: Path, db: str, grpc: bool) -> None:
        with (
            served(tmp_path) as server,
            opened(server, qdrant_grpc=grpc) as patient,
            opened(server, qdrant_grpc=grpc, store_timeout_s=1) as store,
        ):
            patient.add(db, [face()])
            server.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)  # on a busy machine it answers a while
            for call in (lambda: store.add(db, [face()]), lambda: store.search(db, AXIS, 50, 0.5), store.check):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    call()  # without an end if there were no limit
            server.process.send_signal(signal.SIGCONT)
            wait_for(lambda: answers(store))
            patient.add(db, [face()])

    def test_a_wrong_key_is_an_operator_error_and_is_tried_once(self, server: Server, db: str, grpc: bool) -> None:
        with opened(server, qdrant_grpc=grpc, qdrant_api_key="wrong") as store:
            for call in (store.check, store.collections, lambda: store.add(db, [face()])):
                with pytest.raises(StoreError, match="QDRANT_API_KEY") as refused:
                    call()
                assert not isinstance(refused.value, StoreUnavailable)
                assert "wrong" not in str(refused.value)

    def test_a_missing_server_is_an_error(self, db: str, grpc: bool, capfd: pytest.CaptureFixture[str]) -> None:
        settings = Settings(qdrant_url="http://127.0.0.1:1", qdrant_grpc=grpc, qdrant_grpc_port=1, store_timeout_s=1)
        with closing(open_qdrant(settings, OURS)) as store:
            for call in (store.check, store.collections, lambda: store.search(db, AXIS, 50, 0), lambda: store.drop(db)):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    call()
        assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_certificate_is_checked(tmp_path: Path, db: str, grpc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path)
    with served(tmp_path / "q", KEY, tls=(certificate, key)) as server:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with opened(server, qdrant_grpc=grpc, store_timeout_s=1) as store, pytest.raises(StoreUnavailable):
            store.check()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with opened(server, qdrant_grpc=grpc) as store:
            store.add(db, [face("Ada")])
            assert [match.name for match in store.search(db, AXIS, 50, 0.5)] == ["Ada"]


def answers(store: Store) -> bool:
    try:
        store.check()
    except StoreUnavailable:
        return False
    return True
