"""What the embedded engine is told about large collections, without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store.edge import segments
from worker.store.edge.segments import LARGEST, changes_between_optimizations, config


@pytest.mark.parametrize(("dimension", "kilobytes"), [(128, 12_500), (512, 50_000), (16, 1562)])
def test_int8_comes_with_so_many_points_whatever_the_dimension(dimension: int, kilobytes: int) -> None:
    """The engine counts kilobytes of float32."""
    optimizers = config(25_000, dimension).optimizers
    assert optimizers.indexing_threshold == kilobytes
    assert optimizers.max_segment_size == LARGEST * kilobytes


def test_there_is_no_graph_and_no_thread_for_each_segment() -> None:
    made = config(25_000, 128)
    assert made.hnsw_config.m == 0
    assert made.max_search_threads == 1
    assert made.wal_enabled


def test_the_best_by_int8_are_compared_again_in_full() -> None:
    assert not segments.SEARCH.exact
    assert segments.SEARCH.quantization.rescore
    assert segments.SEARCH.quantization.oversampling == 2


@given(index_from=st.integers(1, 10**6))
def test_the_optimiser_is_asked_well_before_a_segment_is_large(index_from: int) -> None:
    assert 1 <= changes_between_optimizations(index_from) <= max(1, index_from // 50)
    assert config(index_from, 16).optimizers.indexing_threshold >= 1
