"""Every kind of store, opened for tests.

Stores on a Qdrant server use its stand-in (tests/qdrant_server.py), or the server that `--backend` names, in
collections of their own, which they remove.
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import numpy as np

from backends import qdrant
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point, Store, Vector
from worker.store.edge.segments import INDEX_FROM
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore
from worker.store.qdrant.backend import open_qdrant

DIMENSION = 16
OURS = Identity("sface", "0" * 64, 1, DIMENSION)
THEIRS = Identity("sface", "0" * 64, 2, DIMENSION)
SERVERS = ["qdrant-rest", "qdrant-grpc", "qdrant-shared", "qdrant-shared-grpc"]
KINDS = ["memory", "edge", "edge-int8", *SERVERS]
STAND_IN_KEY = "a key for tests"


# Exact in floats, lengths and cosine too, so that no engine has to round.
AXIS = np.eye(DIMENSION, dtype=np.float32)[0]
HALF = np.array([0.5] * 4 + [0] * (DIMENSION - 4), np.float32)


def unit(seed: int, dimension: int = DIMENSION) -> Vector:
    """Return the seed-th of some unit vectors, float32."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(seed: int, name: str = "") -> Point:
    """Return a point with an id of its own and the seed-th vector."""
    return Point(uuid.uuid4(), name, unit(seed))


def faces_in(store: Store, collection: str) -> int:
    """Return how many faces the persons of a collection have."""
    (counts,) = store.counts([collection])
    return counts.faces


class Backend:
    """One engine and its data."""

    def __init__(self, open_store: Callable[[Identity], Store]) -> None:
        self._open_store = open_store
        self._names: list[str] = []
        self._opened: list[Store] = []

    def open(self, identity: Identity = OURS) -> Store:
        """Open the data as a worker of this identity. May close the store opened before."""
        self._opened.append(self._open_store(identity))
        return self._opened[-1]

    def name(self) -> str:
        """Return a new name of a collection, as long as that of any facedb: tenant and facedb have 64 characters."""
        self._names.append(f"{'t' * 64}.{uuid.uuid4().hex:f<64}.01234567")
        return self._names[-1]

    def drop_all(self) -> None:
        store = self.open()
        for name in self._names:
            store.drop(name)

    def close(self) -> None:
        for store in self._opened:
            store.close()


Opening = Callable[[], AbstractContextManager[Backend]]
Backends = dict[str, Opening]


@contextmanager
def memory() -> Iterator[Backend]:
    yield Backend(MemoryStore(OURS).under)


@contextmanager
def edge(index_from: int = INDEX_FROM) -> Iterator[Backend]:
    opened: list[Store] = []

    def open_store(identity: Identity) -> Store:
        while opened:  # one process holds the folder, and one store in it
            opened.pop().close()
        opened.append(EdgeStore(Path(folder), identity, open_limit=2, index_from=index_from))
        return opened[-1]

    with tempfile.TemporaryDirectory() as folder:
        yield Backend(open_store)
        for store in opened:
            store.close()


def edge_int8() -> AbstractContextManager[Backend]:
    """Open the embedded store with int8 copies from 16 faces on, as large collections have."""
    return edge(16)


def on_server(url: str, **more: object) -> Opening:
    """Return the opening of stores on a Qdrant server, whose collections of the tests are removed afterwards."""
    patient = {"store_timeout_s": 30, "visibility_timeout_s": 60}
    options = Settings(qdrant_url=url, qdrant_api_key=qdrant().get("QDRANT_API_KEY", STAND_IN_KEY), **patient, **more)

    @contextmanager
    def backend() -> Iterator[Backend]:
        with closing(Backend(lambda identity: open_qdrant(options, identity))) as made:
            yield made
            made.drop_all()

    return backend


def backends_by_kind(url: str, by_graph: dict[str, object]) -> Backends:
    return {
        "memory": memory,
        "edge": edge,
        "edge-int8": edge_int8,
        "qdrant-rest": on_server(url),
        "qdrant-grpc": on_server(url, **by_graph),
        "qdrant-shared": on_server(url, placement="shared"),
        "qdrant-shared-grpc": on_server(url, placement="shared", **by_graph),
    }
