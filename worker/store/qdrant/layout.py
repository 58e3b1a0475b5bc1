"""The parameters of collections."""

from collections.abc import Sequence
from typing import Any, Final

from qdrant_client import models

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.attributes import ADDED, EXTERNAL_ID, NAME
from worker.store.kept_faces import FACE_COUNT

FACEDB_KEY: Final = "facedb"
"""Key in the payload of a shared collection's points: the facedb of the point."""

PERSON_ID: Final = "person_id"
"""Key in the payload of a shared collection's points: the id of a point is not that of its person there."""

SHARED_PREFIX: Final = "facesearch_shared-"
"""Prefix of the names of shared collections. A facedb's own collection, tenant.facedb.number, never has it."""

QUANTILE: Final = 0.99
"""Part of all components that int8 covers; the rest is clipped, so that outliers cost the others no precision."""

WRITE_CONSISTENCY: Final = 1
"""The server's own factor: see worker/store/qdrant/copies.py."""

LEAST_SCAN_KB: Final = 10
"""The smallest full_scan_threshold that the server accepts."""

STAYS_FROM: Final = 0.8
"""Part of FACESEARCH_QDRANT_GRAPH_FROM from which a collection keeps the graph that it has, so that deletions and adds
about that number do not have it built again and again."""


def checked_layout(settings: Settings) -> None:
    """Raise OperatorError if the settings contradict each other. The server would silently keep fewer copies."""
    if settings.qdrant_write_consistency > settings.qdrant_replicas:
        raise OperatorError(
            f"FACESEARCH_QDRANT_WRITE_CONSISTENCY is {settings.qdrant_write_consistency}, but "
            f"FACESEARCH_QDRANT_REPLICAS is {settings.qdrant_replicas}; raise the latter or lower the former"
        )


def layout(settings: Settings, identity: Identity, vector_name: str) -> dict[str, Any]:
    """Return the arguments of create_collection."""
    vectors = models.VectorParams(
        size=identity.dimension, distance=models.Distance.COSINE, on_disk=settings.qdrant_on_disk
    )
    return {
        "vectors_config": {vector_name: vectors},
        "hnsw_config": graph(settings, identity.dimension, 0, has_graph=False),
        "quantization_config": _INT8 if settings.qdrant_quantization == "int8" else None,
        "shard_number": settings.qdrant_shards,
        "replication_factor": settings.qdrant_replicas,
        "write_consistency_factor": WRITE_CONSISTENCY,
    }


def graph(settings: Settings, dimension: int, faces: int, *, has_graph: bool) -> models.HnswConfigDiff:
    """Return the graph that a collection of this many faces should have. has_graph: whether it has one now.

    Without a graph a search compares the int8 copies of all faces and then the best again in full, and misses no face.
    A graph takes less time among millions, and misses some; without int8 copies it is used for whatever is not searched
    exactly. A shared collection never has a graph over all faces, but
    one for each facedb that is large enough (https://qdrant.tech/documentation/manage-data/multitenancy/), which the
    server decides for each of its segments.
    """
    links, construct = settings.qdrant_hnsw_m, settings.qdrant_hnsw_ef_construct
    least = settings.qdrant_graph_from
    if settings.qdrant_quantization == "none":
        least = min(least, settings.exact_below)
    if settings.placement == "shared":
        threshold = max(LEAST_SCAN_KB, least * dimension * 4 // 1024)
        return models.HnswConfigDiff(m=0, payload_m=links, ef_construct=construct, full_scan_threshold=threshold)
    if faces >= least * (STAYS_FROM if has_graph else 1):
        return models.HnswConfigDiff(m=links, ef_construct=construct)
    return models.HnswConfigDiff(m=0)


def of_facedb(facedb: str) -> models.Filter:
    """Return the filter for the points of this facedb in a shared collection."""
    return models.Filter(must=[models.FieldCondition(key=FACEDB_KEY, match=models.MatchValue(value=facedb))])


def of_facedbs(facedbs: Sequence[str], faces: int | None = None) -> models.Filter:
    """Return the filter for the points of these facedbs in a shared collection. faces: from 2, only those of persons
    with this number of faces.
    """
    of_them = models.FieldCondition(key=FACEDB_KEY, match=models.MatchAny(any=list(facedbs)))
    if faces is None:
        return models.Filter(must=[of_them])
    return models.Filter(must=[of_them, models.FieldCondition(key=FACE_COUNT, match=models.MatchValue(value=faces))])


def write_ordering(settings: Settings) -> models.WriteOrdering:
    """Return the ordering of writes. With several copies one has to lead, or they could apply the add and the delete of
    a face in different orders. medium: any live copy leads; strong would write nothing while one certain copy is away.
    """
    return models.WriteOrdering.MEDIUM if settings.qdrant_replicas > 1 else models.WriteOrdering.WEAK


_INT8: Final = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
)

ATTRIBUTE_INDEXES: Final[dict[str, models.PayloadSchemaParams]] = {
    ADDED: models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True, on_disk=True),
    NAME: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True),
    EXTERNAL_ID: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True),
    FACE_COUNT: models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=False, on_disk=True),
}
"""The indexes by which persons are listed and looked up and faces are counted, made when they are first needed.
on_disk: they are used rarely, and in memory that of the names would take about as much as the int8 copies."""

FACEDB_INDEX: Final = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
"""Keeps the points of each facedb together, and makes the graphs of `graph`."""
