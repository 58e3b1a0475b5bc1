"""Snapshots of the collections of a Qdrant server, on its stand-in."""

import json
import uuid
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from qdrant_server import Server, served
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point, Store
from worker.store.qdrant.backend import open_qdrant
from worker.store.qdrant.snapshots import QdrantSnapshots

pytestmark = pytest.mark.slow

OURS = Identity("sface", "0" * 64, 1, 4)
AXIS = np.eye(4, dtype=np.float32)[0]
KEY = "a key for tests"


def face(name: str) -> Point:
    return Point(uuid.uuid4(), name, AXIS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("qdrant"), KEY) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(server: Server) -> Iterator[None]:
    """The server is empty for the next test."""
    yield
    with httpx.Client(base_url=server.url, headers={"api-key": KEY}) as http:
        for found in http.get("/collections").json()["result"]["collections"]:
            http.delete(f"/collections/{found['name']}").raise_for_status()


@pytest.fixture(params=["separate", "shared"])
def store(request: pytest.FixtureRequest, server: Server) -> Iterator[Store]:
    patient = {"store_timeout_s": 30, "visibility_timeout_s": 60}
    settings = Settings(qdrant_url=server.url, qdrant_api_key=KEY, placement=request.param, **patient)
    with closing(open_qdrant(settings, OURS)) as opened:
        yield opened


class EveryCollection:
    """A container that contains every collection."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass
class Snapshots:
    """Saves and loads snapshots. said: messages to the operator."""

    url: str
    key: str = KEY
    timeout_s: float = 30
    said: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        QdrantSnapshots(self._settings()).save(folder, self.said.append)

    def load(self, folder: Path, *, overwrite: bool = False, known: Container[str] = EveryCollection()) -> None:
        QdrantSnapshots(self._settings()).load(folder, overwrite, self.said.append, known)

    def _settings(self) -> Settings:
        return Settings(qdrant_url=self.url, qdrant_api_key=self.key, store_timeout_s=self.timeout_s)


@pytest.fixture
def run(server: Server) -> Snapshots:
    return Snapshots(server.url)


def names(store: Store, collection: str) -> list[str]:
    return sorted(match.name for match in store.search(collection, AXIS, 50, 0.5))


def fails(call: Callable[[], None], *texts: str) -> None:
    """Require that the call fails with an error of one line that contains these texts."""
    with pytest.raises(OperatorError) as error:
        call()
    assert "\n" not in str(error.value)
    for text in texts:
        assert text in str(error.value)


def test_saved_faces_are_restored(store: Store, run: Snapshots, tmp_path: Path) -> None:
    store.add("t.first", [face("Ada"), face("Grace")])
    store.add("t.second", [face("Hedy")])
    run.save(tmp_path / "backup")
    assert "faces" in run.said[0]

    for facedb in ("t.first", "t.second"):
        store.drop(facedb)
    run.load(tmp_path / "backup")
    assert names(store, "t.first") == ["Ada", "Grace"]
    assert names(store, "t.second") == ["Hedy"]
    store.add("t.second", [face("Joan")])
    assert names(store, "t.second") == ["Hedy", "Joan"]


def test_the_manifest_describes_the_collections(store: Store, run: Snapshots, tmp_path: Path) -> None:
    store.add("t.db", [face("Ada"), face("Grace")])
    run.save(tmp_path / "backup")
    (kept,) = json.loads((tmp_path / "backup" / "manifest.json").read_text())["collections"]
    assert kept["identity"] == str(OURS)
    assert (kept["least_points"], kept["most_points"]) == (2, 2)
    assert (tmp_path / "backup" / kept["file"]).stat().st_size == kept["bytes"]
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {"manifest.json", kept["file"]}


def test_no_snapshot_stays_on_the_server(server: Server, store: Store, run: Snapshots, tmp_path: Path) -> None:
    store.add("t.db", [face("Ada")])
    run.save(tmp_path / "backup")
    assert list(server.folder.rglob("*.snapshot")) == []


def test_faces_are_replaced_only_with_overwrite(store: Store, run: Snapshots, tmp_path: Path) -> None:
    store.add("t.db", [face("Ada")])
    run.save(tmp_path / "backup")
    store.add("t.db", [face("Grace")])
    fails(lambda: run.load(tmp_path / "backup"), "2 faces", "nothing was loaded", "--overwrite")
    assert names(store, "t.db") == ["Ada", "Grace"]

    run.load(tmp_path / "backup", overwrite=True)
    assert names(store, "t.db") == ["Ada"]


def test_collections_of_others_on_the_server_are_not_touched(
    server: Server, store: Store, run: Snapshots, tmp_path: Path
) -> None:
    store.add("t.db", [face("Ada")])
    vectors = {"vectors": {"theirs": {"size": 4, "distance": "Cosine"}}}
    with httpx.Client(base_url=server.url, headers={"api-key": KEY}) as http:
        http.put("/collections/foreign", json=vectors).raise_for_status()
        run.save(tmp_path / "backup")
        (kept,) = json.loads((tmp_path / "backup" / "manifest.json").read_text())["collections"]
        http.delete(f"/collections/{kept['collection']}").raise_for_status()
        http.put(f"/collections/{kept['collection']}", json=vectors).raise_for_status()
    fails(lambda: run.load(tmp_path / "backup", overwrite=True), "not made by facesearch")


def test_a_damaged_backup_is_refused_before_anything_is_loaded(store: Store, run: Snapshots, tmp_path: Path) -> None:
    store.add("t.db", [face("Ada")])
    run.save(tmp_path / "backup")
    (snapshot,) = (tmp_path / "backup").glob("*.snapshot")
    whole = snapshot.read_bytes()

    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    fails(lambda: run.load(tmp_path / "backup", overwrite=True), "damaged", str(snapshot))
    snapshot.unlink()
    fails(lambda: run.load(tmp_path / "backup", overwrite=True), "no whole backup", str(snapshot))
    snapshot.write_bytes(whole)
    (tmp_path / "backup" / "manifest.json").write_text("{}")
    fails(lambda: run.load(tmp_path / "backup", overwrite=True), "manifest.json")
    fails(lambda: run.load(tmp_path / "nowhere"), "no whole backup")
    assert names(store, "t.db") == ["Ada"]


def test_unknown_collections_are_reported_and_left(server: Server, run: Snapshots, tmp_path: Path) -> None:
    settings = Settings(qdrant_url=server.url, qdrant_api_key=KEY, store_timeout_s=30, visibility_timeout_s=60)
    with closing(open_qdrant(settings, OURS)) as store:
        for facedb in ("t.known", "t.gone"):
            store.add(facedb, [face("Ada")])
        run.save(tmp_path / "backup")
        for facedb in ("t.known", "t.gone"):
            store.drop(facedb)
        run.load(tmp_path / "backup", known={"t.known"})
        assert store.collections() == ["t.known"]
    assert "t.gone: left out, as the control data knows no such collection" in run.said


def test_a_cluster_of_several_nodes_is_refused(tmp_path: Path) -> None:
    with served(tmp_path / "server", peers=3) as cluster:
        fails(lambda: Snapshots(cluster.url).save(tmp_path / "backup"), "3 nodes")


def test_a_wrong_key_and_a_missing_server_are_operator_errors(run: Snapshots, tmp_path: Path) -> None:
    fails(lambda: Snapshots(run.url, key="wrong").save(tmp_path / "backup"), "QDRANT_API_KEY")
    away = Snapshots("http://127.0.0.1:1", timeout_s=1)
    fails(lambda: away.save(tmp_path / "backup"), "does not answer")
    assert not (tmp_path / "backup" / "manifest.json").exists()
