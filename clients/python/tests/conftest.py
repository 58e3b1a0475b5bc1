"""Fixtures of the client's unit tests."""

import pytest
from mock_service import Do, do_async, do_sync


@pytest.fixture(params=[do_sync, do_async], ids=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    """Make a call with one of the clients: do(handler, "addface", image, ...)."""
    made: Do = request.param
    return made


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients pause between attempts, which take none of a test's time."""
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("facesearch_client.client.time.sleep", paused.append)
    monkeypatch.setattr("facesearch_client.async_client.asyncio.sleep", pause)
    return paused
