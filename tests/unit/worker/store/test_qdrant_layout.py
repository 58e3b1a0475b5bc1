"""The layout of collections; tests/integration/stores/test_qdrant_server.py checks that it reaches the server."""

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.qdrant.layout import checked_layout


@pytest.mark.parametrize(("replicas", "consistency"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_a_write_may_require_up_to_all_replicas(replicas: int, consistency: int) -> None:
    checked_layout(Settings(qdrant_replicas=replicas, qdrant_write_consistency=consistency))


def test_a_write_cannot_require_more_replicas_than_there_are() -> None:
    with pytest.raises(OperatorError, match=r"WRITE_CONSISTENCY is 2, but FACESEARCH_QDRANT_REPLICAS is 1"):
        checked_layout(Settings(qdrant_replicas=1, qdrant_write_consistency=2))
