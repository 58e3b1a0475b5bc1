"""The options of the embedded engine for large collections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store.edge import segments
from worker.store.edge.segments import LARGEST, changes_between_optimizations, config


@pytest.mark.parametrize(("dimension", "kilobytes"), [(128, 12_500), (512, 50_000), (16, 1562)])
def test_quantisation_starts_at_the_same_number_of_points_for_any_dimension(dimension: int, kilobytes: int) -> None:
    """The engine counts kilobytes of float32."""
    optimizers = config(25_000, dimension).optimizers
    assert optimizers.indexing_threshold == kilobytes
    assert optimizers.max_segment_size == LARGEST * kilobytes


def test_there_is_neither_a_graph_nor_a_thread_for_each_segment() -> None:
    made = config(25_000, 128)
    assert made.hnsw_config.m == 0
    assert made.max_search_threads == 1
    assert made.wal_enabled


def test_the_best_matches_by_int8_are_compared_again_in_float32() -> None:
    assert not segments.SEARCH.exact
    assert segments.SEARCH.quantization.rescore
    assert segments.SEARCH.quantization.oversampling == 2


@given(index_from=st.integers(1, 10**6))
def test_the_optimiser_runs_before_a_segment_is_large(index_from: int) -> None:
    assert 1 <= changes_between_optimizations(index_from) <= max(1, index_from // 50)
    assert config(index_from, 16).optimizers.indexing_threshold >= 1
