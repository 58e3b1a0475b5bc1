"""Commands over one connection for each thread, on a real Valkey."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from worker.thread_connections import ThreadConnections


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def connections(valkey_url: str) -> Iterator[ThreadConnections]:
    with Redis.from_url(valkey_url) as client:
        yield ThreadConnections(client)


def test_a_thread_keeps_its_connection_and_another_has_its_own(connections: ThreadConnections) -> None:
    first = connections.call("CLIENT", "ID")
    assert connections.call("CLIENT", "ID") == first
    with ThreadPoolExecutor(1) as other:
        assert other.submit(connections.call, "CLIENT", "ID").result() != first


def test_a_script_that_the_server_does_not_know_is_sent_whole(connections: ThreadConnections, redis: Redis) -> None:
    twice = connections.script("return {KEYS[1], ARGV[1] * 2}")
    assert twice(["a"], [2]) == [b"a", 4]
    redis.script_flush()
    assert twice(["a"], [3]) == [b"a", 6]


def test_an_error_of_a_command_leaves_the_connection_as_it_is(connections: ThreadConnections) -> None:
    first = connections.call("CLIENT", "ID")
    with pytest.raises(ResponseError):
        connections.call("GET")
    assert connections.call("CLIENT", "ID") == first


def test_a_connection_that_the_server_closed_is_made_again(connections: ThreadConnections, redis: Redis) -> None:
    first = connections.call("CLIENT", "ID")
    redis.client_kill_filter(_id=first)
    assert connections.call("CLIENT", "ID") != first
