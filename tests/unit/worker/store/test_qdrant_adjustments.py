"""When a collection is adjusted, and what follows if it cannot be.

tests/integration/stores/test_qdrant_server.py has what is asked for.
"""

from contextlib import closing

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from structlog.testing import capture_logs

from shared.settings import Settings
from worker.store.qdrant.adjustments import Adjustments
from worker.store.qdrant.retries import Retries

ASKED = Settings(qdrant_graph_from=10, exact_below=2, qdrant_hnsw_m=24, qdrant_hnsw_ef_construct=200)


class Refusing:
    """A client of a server that changes no collection."""

    def __init__(self) -> None:
        self.asked = 0

    def update_collection(self, *_: object, **__: object) -> bool:
        self.asked += 1
        raise UnexpectedResponse(403, "Forbidden", b"{}", None)


def described(links: int) -> models.CollectionConfig:
    return models.CollectionConfig(
        params=models.CollectionParams(write_consistency_factor=1),
        hnsw_config=models.HnswConfig(m=links, ef_construct=128, full_scan_threshold=10_000),
        optimizer_config=models.OptimizersConfig(
            deleted_threshold=0.2, vacuum_min_vector_number=1000, default_segment_number=0, flush_interval_sec=5
        ),
    )


def test_a_refusal_is_logged_once_and_stops_no_search() -> None:
    client = Refusing()
    with capture_logs() as logs:
        adjustments = Adjustments(client, Retries(1), ASKED)
        adjustments.found("t.db", described(16), 128)
        for _ in range(3):
            adjustments.counted("t.db", 5)
        adjustments._thread.shutdown()
    assert client.asked == 1
    (line,) = logs
    assert (line["event"], line["log_level"], line["collection"]) == ("collection_not_adjusted", "warning", "t.db")
    assert line["wanted"] == {"m": 0}
    assert "QDRANT_API_KEY" in line["reason"]


def test_nothing_is_asked_for_that_is_already_so() -> None:
    client = Refusing()
    with closing(Adjustments(client, Retries(1), ASKED)) as adjustments:
        adjustments.found("small", described(0), 128)
        adjustments.counted("small", 9)
        adjustments.counted("unknown", 9)
    assert client.asked == 0


def test_a_closed_store_changes_nothing_more() -> None:
    client, retries = Refusing(), Retries(1)
    with capture_logs() as logs, closing(Adjustments(client, retries, ASKED)) as adjustments:
        adjustments.found("t.db", described(16), 128)
        retries.end()
        adjustments.counted("t.db", 5)
    assert client.asked == 0
    assert [line["event"] for line in logs] in ([], ["collection_not_adjusted"])
