"""Which shards are open, with stand-ins for shards."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.store.base import StoreUnavailable
from worker.store.edge.shards import OpenShards


class Shard:
    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name

    def close(self) -> None:
        self.world.open.remove(self.name)


class World:
    """Opens shards, and fails if one is opened twice, which would damage a real one."""

    def __init__(self, limit: int) -> None:
        self.open: set[str] = set()
        self.opened: list[str] = []
        self.shards = OpenShards(self.load, limit)

    def load(self, name: str) -> Shard:
        if name == "missing":
            raise FileNotFoundError(name)
        assert name not in self.open
        self.open.add(name)
        self.opened.append(name)
        return Shard(self, name)

    def touch(self, *names: str) -> None:
        for name in names:
            with self.shards.use(name) as shard:
                assert shard.name == name
                assert name in self.open


def test_an_open_shard_is_used_again() -> None:
    world = World(2)
    world.touch("a", "a", "a")
    assert world.opened == ["a"]


def test_the_least_recently_used_shard_is_closed() -> None:
    world = World(2)
    world.touch("a", "b", "a", "c")
    assert world.open == {"a", "c"}
    world.touch("b")
    assert world.open == {"b", "c"}


def test_a_shard_in_use_is_never_closed() -> None:
    world = World(1)
    with world.shards.use("a"):
        world.touch("b", "c")
        assert world.open == {"a"}
    with world.shards.use("a"), world.shards.use("b"), world.shards.use("a"):
        assert world.open == {"a", "b"}
    assert len(world.open) == 1
    assert world.opened.count("a") == 1


def test_a_shard_that_cannot_be_opened_is_tried_again() -> None:
    world = World(1)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            world.touch("missing")
    world.touch("a")
    world.shards.close()


def test_exclusive_use_closes_the_shard_and_makes_others_wait() -> None:
    world = World(2)
    world.touch("a")
    with ThreadPoolExecutor(1) as pool:
        with world.shards.alone("a"):
            assert world.open == set()
            later = pool.submit(world.touch, "a")
            world.touch("b")
            assert world.opened == ["a", "b"]
        later.result(10)
    assert world.opened == ["a", "b", "a"]


def test_exclusive_use_waits_for_current_users() -> None:
    world = World(2)
    entered, order = threading.Event(), []

    def drop() -> None:
        entered.set()
        with world.shards.alone("a"):
            order.append("alone")

    with ThreadPoolExecutor(1) as pool:
        with world.shards.use("a"):
            dropping = pool.submit(drop)
            assert entered.wait(10)
            order.append("used")
        dropping.result(10)
    assert order == ["used", "alone"]


def test_closing_waits_for_current_users_and_refuses_new_ones() -> None:
    world = World(2)
    with ThreadPoolExecutor(1) as pool:
        with world.shards.use("a"):
            closing = pool.submit(world.shards.close)
            with world.shards._changed:
                assert world.shards._changed.wait_for(lambda: world.shards._closed, 10)
            with pytest.raises(StoreUnavailable):
                world.touch("a")
            assert world.open == {"a"}
        closing.result(10)
    assert world.open == set()
    with pytest.raises(StoreUnavailable):
        world.shards.check()


def test_many_threads_use_more_collections_than_may_be_open() -> None:
    world = World(2)
    names = [str(number) for number in range(5)]

    def work(thread: int) -> None:
        for turn in range(200):
            name = names[(thread * turn) % 5]
            if turn % 50 == thread:
                with world.shards.alone(name):
                    assert name not in world.open
            world.touch(name)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result(60)
    assert len(world.open) <= 2
    world.shards.close()
    assert world.open == set()
