"""A name with an address for each node of a cluster, over REST: gRPC resolves names itself."""

import socket
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from qdrant_server import served
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.qdrant.backend import open_qdrant

AXIS = np.eye(4, dtype=np.float32)[0]


def test_the_next_address_is_used_where_one_takes_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    asked: list[str] = []

    def two_addresses(host: str, *more: object, **options: object) -> list:
        asked.append(host)
        if host != "qdrant.example":
            return resolve(host, *more, **options)
        lost, alive = (resolve(address, *more, **options) for address in ("127.0.0.2", "127.0.0.1"))
        return lost + alive

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with served(tmp_path) as server:  # listens on 127.0.0.1 alone
        settings = Settings(qdrant_url=f"http://qdrant.example:{server.port}", store_timeout_s=30)
        with closing(open_qdrant(settings, Identity("sface", "0" * 64, 1, 4))) as store:
            store.add("t.db", [Point(uuid.uuid4(), "Ada", AXIS)])
            assert [match.name for match in store.search("t.db", AXIS, 50, 0.5)] == ["Ada"]
    assert "qdrant.example" in asked
