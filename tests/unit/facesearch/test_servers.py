"""The memory limit of the embedded broker."""

import pytest

from facesearch.embedded import servers
from shared.settings import Settings

GIB = 2**30


@pytest.mark.parametrize(
    ("given", "machine", "expected"),
    [(0, 8 * GIB, GIB), (0, 4 * GIB, GIB // 2), (0, GIB, 256 * 2**20), (100, 8 * GIB, 100 * 2**20)],
)
def test_the_broker_gets_its_setting_or_an_eighth_of_the_memory(
    given: int, machine: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "memory_bytes", lambda: machine)
    assert servers.broker_bytes(Settings(broker_memory_mb=given)) == expected
