"""What collections are asked to be. That it arrives is in tests/integration/stores/test_qdrant_server.py."""

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.qdrant.layout import checked_layout


@pytest.mark.parametrize(("replicas", "consistency"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_as_many_copies_as_there_are_can_be_required(replicas: int, consistency: int) -> None:
    checked_layout(Settings(qdrant_replicas=replicas, qdrant_write_consistency=consistency))


def test_more_cannot() -> None:
    with pytest.raises(OperatorError, match=r"WRITE_CONSISTENCY is 2, but FACESEARCH_QDRANT_REPLICAS is 1"):
        checked_layout(Settings(qdrant_replicas=1, qdrant_write_consistency=2))
