"""Which store the settings ask for."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore
from worker.store.opening import open_store
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
def test_the_store_is_chosen(tmp_path: Path, settings: dict[str, str], kind: type) -> None:
    store = open_store(Settings(data_dir=tmp_path, **settings), OURS)
    assert type(store) is kind
    assert store.identity == OURS
    store.close()


def test_edge_lives_in_the_data_directory(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path, store="edge"), OURS)
    assert (tmp_path / "faces").is_dir()
    store.close()


def test_qdrant_without_a_url_is_the_operators(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="QDRANT_URL"):
        open_store(Settings(data_dir=tmp_path, store="qdrant"), OURS)


def test_who_embeds_does_not_wait_for_the_client_of_a_server() -> None:
    code = "import sys, worker.store.opening; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
