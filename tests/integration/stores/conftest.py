"""Fixtures with every kind of store."""

from collections.abc import Iterator

import pytest

from backends import qdrant
from every_store import KINDS, STAND_IN_KEY, Backend, Backends, backends_by_kind
from qdrant_server import served
from worker.store.base import Store


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """The backends by kind. Searches over gRPC use the graph, as far as the stand-in has one."""
    by_graph = {"exact_below": 0, "qdrant_grpc": True}
    if server := qdrant():
        grpc_port = int(server.get("FACESEARCH_QDRANT_GRPC_PORT", "6334"))
        yield backends_by_kind(server["QDRANT_URL"], by_graph | {"qdrant_grpc_port": grpc_port})
        return
    with served(tmp_path_factory.mktemp("qdrant"), STAND_IN_KEY) as server:
        yield backends_by_kind(server.url, by_graph | {"qdrant_grpc_port": server.grpc_port})


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, backends: Backends) -> Iterator[Backend]:
    with backends[request.param]() as backend:
        yield backend


@pytest.fixture
def store(backend: Backend) -> Iterator[Store]:
    store = backend.open()
    yield store
    store.close()


@pytest.fixture
def db(backend: Backend) -> str:
    """The name of a collection that does not exist yet."""
    return backend.name()
