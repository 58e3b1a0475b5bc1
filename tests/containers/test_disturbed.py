"""Disturbances under load: more workers, killed containers, a cut network, gateways restarted one by one. Nothing that
was acknowledged is lost or doubled.
"""

import time
from collections.abc import Callable, Iterator

import pytest
from figures import Figures
from stack import Stack, crash, docker, healthy, restarts, stack
from steady import Kept, Load, take_stock

from processes import wait_for

BEFORE = 60
AFTER = 120
"""Answers before and after a disturbance."""


@pytest.fixture(autouse=True)
def two_of_each(cluster: Stack) -> None:
    cluster.up(gateway=2, worker=2)
    cluster.wait_until_ready()


def disturbed(cluster: Stack, key: str, urls: list[str], disturb: Callable[[Load], float]) -> tuple[Load, Kept, float]:
    """Run a load and call `disturb` during it, which returns the time when the disturbance was over."""
    facedb = cluster.new_facedb(f"d{time.monotonic_ns()}")
    with Load(urls, key, facedb) as load:
        wait_for(lambda: load.served >= BEFORE, 60)
        over = disturb(load)
        served = load.served
        wait_for(lambda: load.served >= served + AFTER, 120)
    cluster.wait_until_ready()
    return load, take_stock(cluster.urls()[0], key, facedb, load.added()), over


def crashed(container: str) -> Callable[[Load], float]:
    """Return a disturbance: the container's process is killed, and restarted by the engine. Recovery counts from the
    kill.
    """

    def kill(_: Load) -> float:
        before = restarts(container)
        crash(container)
        at = time.monotonic()
        wait_for(lambda: restarts(container) == before + 1)
        return at

    return kill


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_more_workers(cluster: Stack, key: str, figures: Figures, workers: int) -> None:
    cluster.up(gateway=2, worker=workers)
    cluster.wait_until_ready()
    facedb = cluster.new_facedb(f"w{workers}")
    with Load(cluster.urls(), key, facedb, callers=8) as load:
        wait_for(lambda: load.served >= 400, 180)
    kept = take_stock(cluster.urls()[0], key, facedb, load.added())
    figures.add(
        f"{workers} worker{'s' * (workers > 1)}: {load.served / load.seconds:.0f} requests/s",
        load,
        kept,
        time.monotonic(),
    )
    assert load.unserved == 0
    assert kept == Kept(0, 0, 0)


def test_one_of_two_workers_is_killed(cluster: Stack, key: str, figures: Figures) -> None:
    worker = cluster.containers("worker")[0]
    load, kept, over = disturbed(cluster, key, cluster.urls(), crashed(worker))
    figures.add("1 of 2 workers killed", load, kept, over)
    assert load.unserved == 0
    assert kept == Kept(0, 0, 0)


@pytest.mark.parametrize("server", ["valkey", "images", "qdrant"])
def test_a_server_is_killed(cluster: Stack, key: str, figures: Figures, server: str) -> None:
    load, kept, over = disturbed(cluster, key, cluster.urls(), crashed(cluster.containers(server)[0]))
    figures.add(f"{server} killed", load, kept, over)
    assert load.count("broken") == 0
    assert (kept.lost, kept.doubled) == (0, 0)


def test_one_of_two_gateways_is_killed(cluster: Stack, key: str, figures: Figures) -> None:
    """Its own callers get no answer and go to the other; whether their requests were done is unknown."""
    gateway = cluster.containers("gateway")[0]
    load, kept, over = disturbed(cluster, key, cluster.urls(), crashed(gateway))
    figures.add("1 of 2 gateways killed", load, kept, over)
    assert load.count("FAIL") == 0
    assert load.count("broken") <= load.callers
    assert (kept.lost, kept.doubled) == (0, 0)


def test_the_network_between_gateway_and_broker_is_cut(cluster: Stack, key: str, figures: Figures) -> None:
    gateway, network = cluster.containers("gateway")[0], f"{cluster.project}_backend"

    def cut(load: Load) -> float:
        docker("network", "disconnect", network, gateway)
        try:
            wait_for(lambda: load.count("FAIL") >= 2 * load.callers, 60)
        finally:
            docker("network", "connect", "--alias", "gateway", network, gateway)
        return time.monotonic()

    load, kept, over = disturbed(cluster, key, cluster.urls()[:1], cut)
    figures.add("gateway cut off from the servers, then not", load, kept, over)
    assert load.count("broken") == 0
    assert (kept.lost, kept.doubled) == (0, 0)


def test_gateways_are_rolled_one_by_one(cluster: Stack, key: str, figures: Figures) -> None:
    """Each is stopped by SIGTERM and started again; its callers go to the other meanwhile.

    Docker's own proxy on the loopback address still accepts a connection that the gateway refuses, and then resets it:
    it counts as broken here, and must not have added anything.
    """

    def roll(load: Load) -> float:
        for gateway in cluster.containers("gateway"):
            docker("stop", gateway)
            served = load.served
            wait_for(lambda least=served + 20: load.served >= least, 60)
            docker("start", gateway)
            wait_for(lambda name=gateway: healthy(name), 60)
        return time.monotonic()

    load, kept, over = disturbed(cluster, key, cluster.urls(), roll)
    figures.add("2 gateways rolled", load, kept, over)
    assert load.count("FAIL") == 0
    assert kept == Kept(0, 0, 0)


@pytest.fixture
def embedded() -> Iterator[Stack]:
    with stack("facesearch-embedded", "compose.embedded.yml") as made:
        made.up()
        made.wait_until_ready()
        yield made


def test_the_only_worker_is_killed_with_the_store_in_it(embedded: Stack, figures: Figures) -> None:
    """The faces are in its volume."""
    key = embedded.new_key()
    assert embedded.containers("qdrant") == []
    load, kept, over = disturbed(embedded, key, embedded.urls(), crashed(embedded.containers("worker")[0]))
    figures.add("embedded store, its worker killed", load, kept, over)
    assert load.count("broken") == 0
    assert (kept.lost, kept.doubled) == (0, 0)
