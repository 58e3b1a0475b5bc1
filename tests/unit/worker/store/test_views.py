"""The store under the identity of a collection."""

import uuid

import numpy as np
import pytest

from spaces import only
from worker.models.identity import Identity
from worker.store.base import IdentityMismatch, Point
from worker.store.memory import MemoryStore
from worker.store.views import matching, served

OURS, THEIRS = (Identity("sface", "0" * 64, version, 4) for version in (1, 2))


@pytest.fixture
def store() -> MemoryStore:
    """A store under OURS with a collection of THEIRS."""
    store = MemoryStore(OURS)
    store.under(THEIRS).add("db", [Point(uuid.uuid4(), "", np.eye(4, dtype=np.float32)[0])])
    return store


def test_a_collection_is_read_under_its_own_identity(store: MemoryStore) -> None:
    assert matching(store, "db").identity == THEIRS
    assert len(list(matching(store, "db").points("db"))) == 1
    assert matching(store, "unknown") is store


def test_only_collections_of_known_spaces_are_served(store: MemoryStore) -> None:
    found = served(store, only(THEIRS), "db")
    assert found is not None
    assert found.identity == THEIRS
    assert served(store, only(OURS), "unknown") is None
    with pytest.raises(IdentityMismatch, match=rf"collection db holds faces of {THEIRS}; this worker makes {OURS}"):
        served(store, only(OURS), "db")
