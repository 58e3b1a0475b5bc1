"""Tests that share a Redis get empty databases of their own, and leave existing data alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

import backends
from processes import broker


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[str]:
    with broker(tmp_path) as url:
        yield url


def databases(url: str) -> set[str]:
    """Return the databases that are not empty."""
    with Redis.from_url(url) as redis:
        return set(redis.info("keyspace"))


def test_each_test_gets_an_empty_database_that_is_emptied_afterwards(shared: str) -> None:
    with Redis.from_url(f"{shared}?db=2") as somebody:
        somebody.set("their", "data")
        with backends.database(shared) as first, backends.database(shared) as second:
            assert [url.rpartition("?")[2] for url in (first, second)] == ["db=1", "db=3"]
            for url in (first, second):
                with Redis.from_url(url) as redis:
                    redis.set("our", "data")
        assert databases(shared) == {"db2"}
        assert somebody.keys() == [b"their"]


def test_a_test_fails_and_changes_nothing_if_no_database_is_free(shared: str) -> None:
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(backends.database(shared))
        with pytest.raises(pytest.fail.Exception, match="none of the databases 1 to 15 of REDIS_URL is free"):
            stack.enter_context(backends.database(shared))
    assert databases(shared) == set()


@pytest.mark.parametrize(
    ("url", "third"),
    [
        ("redis://:p@h:1", "redis://:p@h:1/3"),
        ("rediss://h:1/0?ssl_cert_reqs=none", "rediss://h:1/3?ssl_cert_reqs=none"),
        ("unix:///v.sock", "unix:///v.sock?db=3"),
        ("redis+sentinel://a,b/main", "redis+sentinel://a,b/main/3"),
    ],
)
def test_the_url_of_another_database_of_the_same_server(url: str, third: str) -> None:
    assert backends._numbered(url, 3) == third


class TestChoosing:
    def test_embedded_removes_the_servers_from_the_environment(self) -> None:
        environment = {"REDIS_URL": "redis://h", "QDRANT_URL": "http://h", "OTHER": "x"}
        backends.choose("embedded", environment)()
        assert environment == {"OTHER": "x"}

    def test_given_requires_a_redis_that_answers(self) -> None:
        with pytest.raises(pytest.UsageError, match="needs REDIS_URL"):
            backends.choose("given", {})
        with pytest.raises(pytest.UsageError, match=r"REDIS_URL does not answer \(ConnectionError\)$"):
            backends.choose("given", {"REDIS_URL": "redis://:hunter2@127.0.0.1:9"})

    def test_given_servers_are_hidden_from_the_processes_of_tests(self, shared: str) -> None:
        environment = {"REDIS_URL": shared, "QDRANT_URL": "http://h", "QDRANT_API_KEY": "k"}
        backends.choose("given", environment)()
        assert environment == {"TEST_REDIS_URL": shared, "TEST_QDRANT_URL": "http://h", "TEST_QDRANT_API_KEY": "k"}

    def test_without_a_docker_engine_tests_are_skipped_with_that_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")  # nothing listens there
        environment = {"REDIS_URL": "redis://h"}
        backends.choose("containers", environment)()
        assert environment == {"TEST_WHY_NOT": "no Docker engine answers"}
        monkeypatch.setenv(*environment.popitem())
        with pytest.raises(pytest.skip.Exception, match="no Docker engine answers"):
            backends.redis_url()
