"""The parameters of new collections. Existing collections stay as they are."""

from typing import Any, Final

from qdrant_client import models

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.identity import Identity

FACEDB_KEY: Final = "facedb"
"""Key in the payload of a shared collection's points: the facedb of the point."""

SHARED_PREFIX: Final = "facesearch_shared-"
"""Prefix of the names of shared collections. A facedb's own collection, tenant.facedb.number, never has it."""

QUANTILE: Final = 0.99
"""Part of all components that int8 covers; the rest is clipped, so that outliers cost the others no precision."""


def checked_layout(settings: Settings) -> None:
    """Raise OperatorError if the settings contradict each other. The server would silently keep fewer copies."""
    if settings.qdrant_write_consistency > settings.qdrant_replicas:
        raise OperatorError(
            f"FACESEARCH_QDRANT_WRITE_CONSISTENCY is {settings.qdrant_write_consistency}, but "
            f"FACESEARCH_QDRANT_REPLICAS is {settings.qdrant_replicas}; raise the latter or lower the former"
        )


def layout(settings: Settings, identity: Identity, vector_name: str) -> dict[str, Any]:
    """Return the arguments of create_collection.

    A shared collection has no graph over all points, but one for each facedb that is large enough
    (https://qdrant.tech/documentation/manage-data/multitenancy/).
    """
    vectors = models.VectorParams(
        size=identity.dimension, distance=models.Distance.COSINE, on_disk=settings.qdrant_on_disk
    )
    shared = settings.placement == "shared"
    hnsw = models.HnswConfigDiff(
        m=0 if shared else settings.qdrant_hnsw_m,
        payload_m=settings.qdrant_hnsw_m if shared else None,
        ef_construct=settings.qdrant_hnsw_ef_construct,
    )
    return {
        "vectors_config": {vector_name: vectors},
        "hnsw_config": hnsw,
        "quantization_config": _INT8 if settings.qdrant_quantization == "int8" else None,
        "shard_number": settings.qdrant_shards,
        "replication_factor": settings.qdrant_replicas,
        "write_consistency_factor": settings.qdrant_write_consistency,
    }


def of_facedb(facedb: str) -> models.Filter:
    """Return the filter for the points of this facedb in a shared collection."""
    return models.Filter(must=[models.FieldCondition(key=FACEDB_KEY, match=models.MatchValue(value=facedb))])


def write_ordering(settings: Settings) -> models.WriteOrdering:
    """Return the ordering of writes. With several copies one has to lead, or they could apply the add and the delete of
    a face in different orders. medium: any live copy leads; strong would write nothing while one certain copy is away.
    """
    return models.WriteOrdering.MEDIUM if settings.qdrant_replicas > 1 else models.WriteOrdering.WEAK


_INT8: Final = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
)

FACEDB_INDEX: Final = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
"""Keeps the points of each facedb together, and makes the graphs of `layout`."""
