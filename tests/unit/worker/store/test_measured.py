"""A measured store knows whether its last add succeeded."""

import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from worker.models.identity import Identity
from worker.store import measured
from worker.store.base import Point, StoreUnavailable
from worker.store.measured import REMEMBER_S, MeasuredStore
from worker.store.memory import MemoryStore

POINT = Point(uuid.uuid4(), "x", np.eye(4, dtype=np.float32)[0])


class Server(MemoryStore):
    """A store that shows that it is full only by refusing a write."""

    full = False

    def add(self, collection: str, points: Sequence[Point]) -> None:
        if self.full:
            raise StoreUnavailable(f"{collection}: no space left")
        super().add(collection, points)


@pytest.fixture
def server() -> Server:
    return Server(Identity("test", "0" * 64, 1, 4))


@pytest.fixture
def store(server: Server) -> MeasuredStore:
    return MeasuredStore(server, lambda _: nullcontext())


def require_refusal(store: MeasuredStore) -> None:
    with pytest.raises(StoreUnavailable):
        store.add("shop.default.00000000", [POINT])


def test_after_a_failed_add_there_is_no_room_until_one_succeeds(store: MeasuredStore, server: Server) -> None:
    store.check_room()
    server.full = True
    require_refusal(store)
    with pytest.raises(StoreUnavailable, match="the last add failed") as error:
        store.check_room()
    assert "shop" not in str(error.value), "the reason is public"
    server.full = False
    store.add("shop.default.00000000", [POINT])
    store.check_room()


def test_an_add_under_any_identity_counts(store: MeasuredStore) -> None:
    class Refusing(Server):
        full = True

    refusing = MeasuredStore(Refusing(store.identity), lambda _: nullcontext())
    with pytest.raises(StoreUnavailable):
        refusing.under(replace(store.identity, version=2)).add("shop.default.00000000", [POINT])
    with pytest.raises(StoreUnavailable, match="the last add failed"):
        refusing.check_room()


def test_each_identity_has_one_object(store: MeasuredStore) -> None:
    other = replace(store.identity, version=2)
    assert store.under(other) is store.under(other)
    assert store.under(store.identity) is store


def test_a_failed_add_is_forgotten_after_a_while(
    store: MeasuredStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.full = True
    require_refusal(store)
    now = measured.time.monotonic()
    monkeypatch.setattr(measured.time, "monotonic", lambda: now + REMEMBER_S)
    store.check_room()
