"""What collections are asked to be when they are made. Those that exist stay as they are."""

from typing import Any, Final

from qdrant_client import models

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.identity import Identity

FACEDB_KEY: Final = "facedb"
"""Of the payload, in a shared collection: which facedb a point belongs to."""

SHARED_PREFIX: Final = "facesearch_shared-"
"""Of the names of shared collections. No facedb's own collection is called so: theirs are tenant.facedb."""

QUANTILE: Final = 0.99
"""Part of all components that int8 covers; the rest is clipped, so that outliers cost the others no precision."""


def checked_layout(settings: Settings) -> None:
    """Raises OperatorError if the settings contradict each other. The server would take fewer copies silently."""
    if settings.qdrant_write_consistency > settings.qdrant_replicas:
        raise OperatorError(
            f"FACESEARCH_QDRANT_WRITE_CONSISTENCY is {settings.qdrant_write_consistency}, but "
            f"FACESEARCH_QDRANT_REPLICAS is {settings.qdrant_replicas}; raise the latter or lower the former"
        )


def layout(settings: Settings, identity: Identity, vector_name: str) -> dict[str, Any]:
    """Arguments of create_collection.

    In a shared collection there is no graph over everything but one for each facedb that is large enough
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
    """In a shared collection: the points of this facedb alone."""
    return models.Filter(must=[models.FieldCondition(key=FACEDB_KEY, match=models.MatchValue(value=facedb))])


def write_ordering(settings: Settings) -> models.WriteOrdering:
    """Copies could apply the add and the deletion of one face in different orders unless one of them leads. medium: a
    live one; strong would write nothing while a fixed one is away.
    """
    return models.WriteOrdering.MEDIUM if settings.qdrant_replicas > 1 else models.WriteOrdering.WEAK


_INT8: Final = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
)

FACEDB_INDEX: Final = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
"""Keeps each facedb's points together, and makes the graphs of `layout`."""
