"""Places in one gateway: counted in memory, nothing asked, nothing leaked."""

import re
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

from gateway import limits as module
from gateway.limits import GatewayFull, Limits
from shared.contract import Status


@pytest.fixture
def limits() -> Limits:
    return Limits(Redis(), rate=1, concurrency=1, in_flight=3, lease_s=1)


def test_beyond_its_places_a_gateway_refuses_at_once(
    limits: Limits, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "monotonic", lambda: 1000.0)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(limits.place())
        for _ in range(5):
            with pytest.raises(GatewayFull) as refusal, limits.place():
                raise AssertionError("there was no place")
        assert refusal.value.status is Status.FAIL
        monkeypatch.setattr(module.time, "monotonic", lambda: 1001.0)
        with pytest.raises(GatewayFull), limits.place():
            raise AssertionError("there was no place")
    assert re.findall(r"gateway_full +.*refused.*=.*?(\d+)", capsys.readouterr().out) == ["1", "5"]
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(limits.place())


def test_a_place_is_free_again_after_an_error(limits: Limits) -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), limits.place():
            raise ZeroDivisionError
    with limits.place():
        pass
