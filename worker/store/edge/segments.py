"""Segments with int8 vectors, a quarter of the size, which keep searches in large embedded collections fast.

Qdrant Edge keeps a collection in segments. New points go to a segment without int8, where a search compares every
vector in full. Once it has INDEX_FROM points, the engine's optimiser adds int8 vectors to it, in memory. A search still
goes over all of them, and compares the best again in full, so that it misses no face as a graph does.
docs/decisions/0009-large-embedded-collections.md has the figures.

The engine holds the interpreter lock while it searches and while it optimises: nothing else of the process runs.
Segments are therefore small enough to be made between two jobs. A large collection of a release that had no int8 takes
longer and is indexed in a child process before its first use (worker/store/edge/background_indexing.py).
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import qdrant_edge as engine

from shared.host.parent import ends_with

INDEX_FROM: Final = 25_000
"""Points from which a segment gets int8. Comparing that many in full takes 1.4 ms, making the segment 0.2 s."""

LARGEST: Final = 4
"""Segments are joined up to this multiple of INDEX_FROM. Making one of that size takes 0.5 s; smaller ones would be too
many to search. With a multiple of 2, adding and deleting left three segments that were never joined."""

QUANTILE: Final = 0.99
"""Part of the components within the range of int8. The rest is clipped: outliers would coarsen all others."""

SEARCH: Final = engine.SearchParams(
    quantization=engine.QuantizationSearchParams(rescore=True, oversampling=2.0)  # 1: lists 96% of one segment's best
)
"""Has no effect on segments without int8, which are compared in full."""


def config(index_from: int, dimension: int) -> engine.EdgeConfig:
    """Return the configuration of a shard. That of an existing shard takes effect when the optimiser is called."""
    kilobytes = max(1, index_from * dimension * 4 // 1024)
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=dimension, distance=engine.Distance.Cosine),
        # m=0: no graph.
        hnsw_config=engine.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=1),
        quantization_config=engine.ScalarQuantizationConfig(engine.ScalarType.Int8, quantile=QUANTILE, always_ram=True),
        optimizers=engine.EdgeOptimizersConfig(
            default_segment_number=1,  # small segments, which deletions leave, are joined
            indexing_threshold=kilobytes,
            max_segment_size=LARGEST * kilobytes,
            vacuum_min_vector_number=changes_between_optimizations(index_from),  # of which a fifth is removed
        ),
        # Segments are searched one after the other: a thread for each gains nothing, and eight for each shard are many.
        max_search_threads=1,
        wal_enabled=True,
    )


def changes_between_optimizations(index_from: int) -> int:
    """Return how many points are added or removed before the optimiser is called again: 500 of 25,000. A call with
    nothing to do takes 0.1 ms; rare calls would have much to do at once.
    """
    return max(1, index_from // 50)


def not_indexed(shard: engine.EdgeShard) -> int:
    """Return a lower bound of the number of points without int8: the engine counts removed points, too."""
    info = shard.info()
    return max(0, info.points_count - info.indexed_vectors_count)


def is_largely_unindexed(shard: engine.EdgeShard, index_from: int) -> bool:
    """Return whether optimising the shard would hold up the process for long."""
    return not_indexed(shard) >= LARGEST * index_from


def start_optimizer(shard: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start a process that optimises a shard, which may not be open. If it fails, the shard is as before. lock: a
    descriptor that the process inherits. Raises OSError.
    """
    return subprocess.Popen(  # noqa: S603 -- our own
        [sys.executable, "-m", __name__, str(shard), str(os.getpid())],
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main(shard: str, parent: str) -> None:
    """Optimise a shard, which has its configuration already."""
    # A worker that is restarted need not wait for what its predecessor began.
    if not ends_with(int(parent)):
        return
    opened = engine.EdgeShard.load(shard)
    opened.optimize()
    opened.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
