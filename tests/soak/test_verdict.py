"""Flat readings pass, and each kind of growth is named."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from fuzz.mutations import seeded
from shared.broker import RESULT_PREFIX
from soak.readings import SERVERS, UP, Process, Reading, Store
from soak.verdict import growth, overstaying, rows, table, too_many

EVERY_S = 5
COUNT = 241
RATE = 60
DEADLINE_S = 10
FLAT = Counter({"fs:tenant": 2, RESULT_PREFIX: 15 * RATE, "fs:image": 30, "unacked": 1})


def reading(number: int) -> Reading:
    """Return a reading of a service that does not grow, except for the keys that its requests leave for a day."""
    random = seeded(1, number)
    processes = {
        name: Process(300 + random.gauss(0, 10), 330 + number, 300 + random.randrange(9), 40 + random.randrange(5), 20)
        for name in (UP, "worker", "gateway", *SERVERS)
    }
    kept = {"fs:once": 100 * number}
    stores = {name: Store(FLAT + Counter(kept), 5.0 + 0.1 * number, 0.1 * number, 30) for name in SERVERS}
    return Reading(EVERY_S * number, 20_000 + EVERY_S * number * RATE, processes, stores)


def judged(change: Callable[[int, Reading], Reading] = lambda _, read: read) -> list[str]:
    """Return the reported growth in a run whose readings are changed by that function."""
    return growth(rows([change(number, reading(number)) for number in range(COUNT)], DEADLINE_S))


def with_process(read: Reading, name: str, **changed: float) -> Reading:
    return replace(read, processes=read.processes | {name: replace(read.processes[name], **changed)})


def with_keys(read: Reading, more: dict[str, int]) -> Reading:
    broker = read.stores["broker"]
    return replace(read, stores=read.stores | {"broker": replace(broker, kinds=broker.kinds + Counter(more))})


def test_a_flat_run_has_no_growth() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("what", "each"),
    [("memory_mb", 0.1), ("mapped", 1), ("files", 0.1), ("threads", 0.02)],
)
def test_a_resource_that_a_process_does_not_release_is_growth(what: str, each: float) -> None:
    def leaks(number: int, read: Reading) -> Reading:
        return with_process(read, "worker", **{what: getattr(read.processes["worker"], what) + each * number})

    (sentence,) = judged(leaks)
    assert sentence.startswith("worker")


def test_memory_that_comes_and_goes_is_not_growth() -> None:
    def decodes(number: int, read: Reading) -> Reading:
        large = 200 if number % 4 == 3 or number > COUNT - 3 else 0
        return with_process(read, "worker", memory_mb=300 + large)

    assert judged(decodes) == []


def test_memory_of_a_redis_beyond_that_of_kept_keys_is_growth() -> None:
    def leaks(number: int, read: Reading) -> Reading:
        broker = read.stores["broker"]
        return replace(read, stores=read.stores | {"broker": replace(broker, used_mb=broker.used_mb + 0.05 * number)})

    assert judged(leaks) == ["broker: used_memory beyond kept keys, MiB grows by 36.0 an hour"]


def test_a_growing_queue_is_growth() -> None:
    def grows(number: int, read: Reading) -> Reading:
        broker = replace(read.stores["broker"], queued=30 + number)
        return replace(read, stores=read.stores | {"broker": broker})

    assert [sentence.split(" grows")[0] for sentence in judged(grows)] == ["broker: queue"]


@pytest.mark.parametrize("kind", ["fs:image", RESULT_PREFIX, "fs:tenant", "fs:something-new"])
def test_keys_that_stay_are_growth(kind: str) -> None:
    found = judged(lambda number, read: with_keys(read, {kind: 10 * number}))
    assert [sentence.split(" grows")[0] for sentence in found] == [f"broker: keys {kind}"]


def test_a_request_leaves_one_key_at_most() -> None:
    last = with_keys(reading(10), {"fs:drawn": 4})
    assert too_many(last, {"fs:once": 1000, "fs:drawn": 4, "fs:deletion": 0, "fs:async:job": 0}) == []
    assert too_many(last, {"fs:once": 999, "fs:drawn": 3, "fs:deletion": 0, "fs:async:job": 0}) == [
        "1000 keys fs:once, of 999 requests",
        "4 keys fs:drawn, of 3 requests",
    ]


def test_a_key_that_expires_never_or_too_late_is_reported() -> None:
    assert overstaying({"fs:tenant": -1, "fs:image": 15, "fs:once": 86_400}, DEADLINE_S) == []
    assert len(overstaying({"fs:image": -1, "fs:once": 86_401, RESULT_PREFIX: 3600}, DEADLINE_S)) == 3


def test_the_table_has_a_line_for_each_row() -> None:
    found = rows([reading(number) for number in range(COUNT)], DEADLINE_S)
    assert len(list(table(found))) == len(found) + 1
