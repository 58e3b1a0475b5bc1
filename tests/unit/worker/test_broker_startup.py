"""A worker waits for a broker that starts later."""

from collections.abc import Callable

import pytest
import structlog
from redis import AuthenticationError, BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.redis_url import parse
from worker.delivery import broker_startup


class Late:
    """A Redis that raises these errors first."""

    def __init__(self, *errors: RedisError) -> None:
        self._errors = list(errors)

    def ping(self) -> bool:
        if self._errors:
            raise self._errors.pop(0)
        return True

    def set(self, _key: str, _value: str, **_: object) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_startup, "RETRY_S", 0)


def logged(redis: Late, give_up: Callable[[], None] = lambda: None) -> list[dict[str, object]]:
    with structlog.testing.capture_logs() as lines:
        broker_startup.await_broker(redis, str(parse("redis://:hunter2@valkey:6379/0")), give_up)  # type: ignore[arg-type]
    return [dict(line) for line in lines]


def test_nothing_is_logged_if_the_broker_answers() -> None:
    assert logged(Late()) == []


def test_waiting_for_a_late_broker_is_logged_in_two_lines() -> None:
    lines = logged(Late(RedisConnectionError("refused"), RedisConnectionError("refused"), BusyLoadingError("loading")))
    assert [line["event"] for line in lines] == ["broker_not_reached", "broker_reached"]
    assert lines[0]["broker"] == "valkey:6379"
    assert lines[0]["error"] == "ConnectionError"
    assert "REDIS_URL" in str(lines[0]["hint"])
    assert "hunter2" not in str(lines)


def test_a_stopped_worker_stops_waiting() -> None:
    def stop() -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        logged(Late(AuthenticationError("no"), AuthenticationError("no")), stop)
