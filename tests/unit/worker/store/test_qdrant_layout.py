"""The layout of collections; tests/integration/stores/test_qdrant_server.py checks that it reaches the server."""

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.qdrant.layout import checked_layout, graph


@pytest.mark.parametrize(("replicas", "consistency"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_a_write_may_require_up_to_all_replicas(replicas: int, consistency: int) -> None:
    checked_layout(Settings(qdrant_replicas=replicas, qdrant_write_consistency=consistency))


def test_a_write_cannot_require_more_replicas_than_there_are() -> None:
    with pytest.raises(OperatorError, match=r"WRITE_CONSISTENCY is 2, but FACESEARCH_QDRANT_REPLICAS is 1"):
        checked_layout(Settings(qdrant_replicas=1, qdrant_write_consistency=2))


@pytest.mark.parametrize(
    ("faces", "has_graph", "links"),
    [
        (0, False, 0),
        (99, False, 0),
        (100, False, 24),
        (100, True, 24),
        (80, True, 24),
        (79, True, 0),
        (10**9, False, 24),
    ],
)
def test_a_collection_has_a_graph_from_a_number_of_faces_on_and_keeps_it_a_while(
    faces: int, has_graph: bool, links: int
) -> None:
    settings = Settings(qdrant_graph_from=100, qdrant_hnsw_m=24)
    assert graph(settings, 128, faces, has_graph=has_graph).m == links


def test_without_int8_copies_there_is_a_graph_for_whatever_is_not_searched_exactly() -> None:
    settings = Settings(qdrant_quantization="none", exact_below=100)
    assert graph(settings, 128, 99, has_graph=False).m == 0
    assert graph(settings, 128, 100, has_graph=False).m == settings.qdrant_hnsw_m


@pytest.mark.parametrize(("graph_from", "kilobytes"), [(5_000_000, 2_500_000), (0, 10)])
def test_in_a_shared_collection_the_server_decides_for_each_facedb(graph_from: int, kilobytes: int) -> None:
    settings = Settings(placement="shared", qdrant_graph_from=graph_from)
    for faces in (0, 10**9):
        wanted = graph(settings, 128, faces, has_graph=False)
        assert (wanted.m, wanted.payload_m) == (0, settings.qdrant_hnsw_m)
        assert wanted.full_scan_threshold == kilobytes
