"""How a search compares points, by the size of the collection."""

import pytest

from shared.settings import Settings
from worker.store.qdrant import search
from worker.store.qdrant.search import Sizes, search_params


@pytest.mark.parametrize(("size", "exact"), [(0, True), (99, True), (100, False), (10**9, False)])
def test_every_point_is_compared_below_the_limit(size: int, exact: bool) -> None:
    assert search_params(Settings(exact_below=100), size).exact is exact


def test_with_a_limit_of_0_no_search_is_exact() -> None:
    assert not search_params(Settings(exact_below=0), 0).exact


def test_points_that_are_not_quantised_or_in_no_graph_yet_are_searched() -> None:
    assert search_params(Settings(), 10**6).indexed_only is False


def test_without_quantisation_nothing_is_compared_again() -> None:
    assert search_params(Settings(qdrant_quantization="none"), 10**6).quantization is None


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.count


def test_a_count_is_cached_for_a_while() -> None:
    now = [0.0]
    sizes, count = Sizes(lambda: now[0]), Counter()
    assert [sizes.of("db", count) for _ in range(3)] == [0, 0, 0]
    count.count = 7
    now[0] += search.COUNTED_FOR_S - 0.1
    assert sizes.of("db", count) == 0
    now[0] += 0.2
    assert [sizes.of("db", count) for _ in range(3)] == [7, 7, 7]
    assert count.asked == 2


def test_each_collection_has_a_count_of_its_own() -> None:
    sizes = Sizes()
    assert [sizes.of(name, lambda size=size: size) for name, size in (("a", 1), ("b", 2), ("a", 3))] == [1, 2, 1]


def test_the_cache_of_counts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MOST_COUNTS", 10)
    sizes = Sizes()
    for number in range(100):
        sizes.of(str(number), lambda: 1)
    assert len(sizes._counts) <= 10
