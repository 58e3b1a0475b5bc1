"""`facesearch snapshots`, on the stand-in for a Qdrant server."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result

from facesearch.main import main
from qdrant_server import Server, served
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point, Store
from worker.store.qdrant_opening import open_qdrant

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
    """Whoever comes next finds nothing."""
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


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `facesearch snapshots` as in run("save", folder)."""
    monkeypatch.setenv("QDRANT_URL", server.url)
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", "30")
    return command


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["snapshots", *map(str, arguments)], catch_exceptions=False)


def names(store: Store, collection: str) -> list[str]:
    return sorted(match.name for match in store.search(collection, AXIS, 50, 0.5))


def fails(result: Result, *texts: str) -> None:
    """In one line."""
    assert result.exit_code == 1
    assert result.stderr.startswith("facesearch: ")
    assert result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr


def test_what_was_saved_comes_back(store: Store, run: Callable[..., Result], tmp_path: Path) -> None:
    store.add("t.first", [face("Ada"), face("Grace")])
    store.add("t.second", [face("Hedy")])
    saved = run("save", tmp_path / "backup")
    assert saved.exit_code == 0
    assert saved.stdout == ""
    assert "faces" in saved.stderr

    for facedb in ("t.first", "t.second"):
        store.drop(facedb)
    assert run("load", tmp_path / "backup").exit_code == 0
    assert names(store, "t.first") == ["Ada", "Grace"]
    assert names(store, "t.second") == ["Hedy"]
    store.add("t.second", [face("Joan")])
    assert names(store, "t.second") == ["Hedy", "Joan"]


def test_the_manifest_tells_what_is_there(store: Store, run: Callable[..., Result], tmp_path: Path) -> None:
    store.add("t.db", [face("Ada"), face("Grace")])
    run("save", tmp_path / "backup")
    (kept,) = json.loads((tmp_path / "backup" / "manifest.json").read_text())["collections"]
    assert kept["identity"] == str(OURS)
    assert (kept["least_points"], kept["most_points"]) == (2, 2)
    assert (tmp_path / "backup" / kept["file"]).stat().st_size == kept["bytes"]
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {"manifest.json", kept["file"]}


def test_no_snapshot_stays_on_the_server(
    server: Server, store: Store, run: Callable[..., Result], tmp_path: Path
) -> None:
    store.add("t.db", [face("Ada")])
    run("save", tmp_path / "backup")
    assert list(server.folder.rglob("*.snapshot")) == []


def test_faces_are_only_replaced_if_told(store: Store, run: Callable[..., Result], tmp_path: Path) -> None:
    store.add("t.db", [face("Ada")])
    run("save", tmp_path / "backup")
    store.add("t.db", [face("Grace")])
    fails(run("load", tmp_path / "backup"), "2 faces", "nothing was loaded", "--overwrite")
    assert names(store, "t.db") == ["Ada", "Grace"]

    assert run("load", tmp_path / "backup", "--overwrite").exit_code == 0
    assert names(store, "t.db") == ["Ada"]


def test_what_others_keep_on_the_server_is_left_alone(
    server: Server, store: Store, run: Callable[..., Result], tmp_path: Path
) -> None:
    store.add("t.db", [face("Ada")])
    vectors = {"vectors": {"theirs": {"size": 4, "distance": "Cosine"}}}
    with httpx.Client(base_url=server.url, headers={"api-key": KEY}) as http:
        http.put("/collections/foreign", json=vectors).raise_for_status()
        run("save", tmp_path / "backup")
        (kept,) = json.loads((tmp_path / "backup" / "manifest.json").read_text())["collections"]
        http.delete(f"/collections/{kept['collection']}").raise_for_status()
        http.put(f"/collections/{kept['collection']}", json=vectors).raise_for_status()
    fails(run("load", tmp_path / "backup", "--overwrite"), "not made by facesearch")


def test_a_damaged_backup_is_refused_before_anything_is_loaded(
    store: Store, run: Callable[..., Result], tmp_path: Path
) -> None:
    store.add("t.db", [face("Ada")])
    run("save", tmp_path / "backup")
    (snapshot,) = (tmp_path / "backup").glob("*.snapshot")
    whole = snapshot.read_bytes()

    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    fails(run("load", tmp_path / "backup", "--overwrite"), "damaged", str(snapshot))
    snapshot.unlink()
    fails(run("load", tmp_path / "backup", "--overwrite"), "no whole backup", str(snapshot))
    snapshot.write_bytes(whole)
    (tmp_path / "backup" / "manifest.json").write_text("{}")
    fails(run("load", tmp_path / "backup", "--overwrite"), "manifest.json")
    fails(run("load", tmp_path / "nowhere"), "no whole backup")
    assert names(store, "t.db") == ["Ada"]


def test_a_backup_is_never_written_over(store: Store, run: Callable[..., Result], tmp_path: Path) -> None:
    store.add("t.db", [face("Ada")])
    run("save", tmp_path / "backup")
    fails(run("save", tmp_path / "backup"), "holds a backup already")


def test_a_cluster_of_several_nodes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "server", peers=3) as cluster:
        monkeypatch.setenv("QDRANT_URL", cluster.url)
        fails(command("save", tmp_path / "backup"), "3 nodes")


def test_a_wrong_key_and_a_server_that_is_away(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "wrong")
    fails(run("save", tmp_path / "backup"), "QDRANT_API_KEY")
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FACESEARCH_STORE_TIMEOUT_S", "1")
    fails(run("save", tmp_path / "backup"), "does not answer")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_embedded_faces_are_backed_up_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDRANT_URL", raising=False)
    monkeypatch.setenv("FACESEARCH_DATA_DIR", str(tmp_path / "data"))
    fails(command("save", tmp_path / "backup"), "QDRANT_URL", str(tmp_path / "data"))
    fails(command("load", tmp_path / "backup"), "QDRANT_URL")
