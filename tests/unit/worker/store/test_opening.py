"""Which store the settings open."""

import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from spaces import only
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore
from worker.store.opening import backend, open_store
from worker.store.qdrant.shared_collection import SharedQdrantStore
from worker.store.qdrant.store import QdrantStore

OURS = Identity("sface", "0" * 64, 1, 4)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, EdgeStore),
        ({"store": "edge", "qdrant_url": "http://127.0.0.1:1"}, EdgeStore),
        ({"qdrant_url": "http://127.0.0.1:1"}, QdrantStore),
        ({"qdrant_url": "http://127.0.0.1:1", "qdrant_api_key": "a-key"}, QdrantStore),
        ({"qdrant_url": "http://127.0.0.1:1", "placement": "shared"}, SharedQdrantStore),
        ({"qdrant_url": "https://qdrant", "qdrant_grpc": True, "qdrant_grpc_port": 1}, QdrantStore),
        ({"store": "memory"}, MemoryStore),
    ],
)
def test_the_settings_choose_the_store(tmp_path: Path, settings: dict[str, str], kind: type) -> None:
    store = open_store(Settings(data_dir=tmp_path, **settings), only(OURS))
    assert type(store) is kind
    assert store.identity == OURS
    store.close()


def test_the_embedded_store_is_in_the_data_directory(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path, store="edge"), only(OURS))
    assert (tmp_path / "faces").is_dir()
    store.close()


def test_qdrant_without_a_url_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="QDRANT_URL"):
        open_store(Settings(data_dir=tmp_path, store="qdrant"), only(OURS))


def test_a_backend_describes_a_store_without_opening_it(tmp_path: Path) -> None:
    memory, edge, qdrant = (
        backend(Settings(data_dir=tmp_path, store=kind, qdrant_url="http://127.0.0.1:1"))
        for kind in ("memory", "edge", "qdrant")
    )
    assert [store.durable for store in (memory, edge, qdrant)] == [False, True, True]
    assert [store.folder for store in (memory, edge, qdrant)] == [None, tmp_path / "faces", None]
    assert [store.url for store in (memory, edge, qdrant)] == [None, None, "http://127.0.0.1:1"]
    assert [store.snapshots is not None for store in (memory, edge, qdrant)] == [False, False, True]
    assert list(tmp_path.iterdir()) == []


def test_a_backend_knows_foreign_collections_of_an_embedded_store_while_it_is_open(tmp_path: Path) -> None:
    edge = backend(Settings(data_dir=tmp_path, store="edge"))
    assert edge.foreign(only(OURS), None) is None
    theirs = replace(OURS, version=2)
    with closing(edge.open(only(theirs))) as store:
        store.add("shop.main.0", [Point(uuid.uuid4(), "", np.array([1, 0, 0, 0], np.float32))])
        for collections in (None, ["shop.main.0", "shop.none.0"]):
            assert edge.foreign(only(OURS), collections) == {"shop.main.0": str(theirs)}
            assert edge.foreign(only(theirs), collections) == {}
        with pytest.raises(OperatorError, match="in use"):
            list(edge.examine(only(theirs)))
    assert [name for name, _ in edge.examine(only(theirs))] == ["shop.main.0"]
    assert list(edge.examine(only(OURS))) == []
