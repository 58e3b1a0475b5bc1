"""How a large collection of the embedded store stays fast: its vectors are kept again as int8, a quarter of the size.

Qdrant Edge keeps a collection in segments. New points go to one without int8, where a search compares every vector in
full. When that has grown to INDEX_FROM points, the engine's optimiser makes it a segment with int8, in memory. A search
goes through that whole, too, and compares its best again in full: no face is out of reach, as some are in a graph.
docs/decisions/0009-large-embedded-collections.md has the figures.

The engine holds the interpreter lock while it searches and while it optimises: nothing else of the process runs.
Segments are therefore small enough to be made between two jobs. What takes longer, the large collection of a release
that had no int8, is done by a process of its own before anybody uses the collection
(worker/store/edge/background_indexing.py).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import qdrant_edge as engine

from shared.host.parent import die_with_parent

INDEX_FROM: Final = 25_000
"""Points of a segment from which it gets int8. Comparing so many in full takes 1.4 ms, making the segment 0.2 s."""

LARGEST: Final = 4
"""Times INDEX_FROM up to which segments are joined: making one of so many takes 0.5 s, and smaller ones would be many
to search. At twice INDEX_FROM, coming and going left three segments that were never joined."""

QUANTILE: Final = 0.99
"""Part of the components within the range of int8. The rest is cut off: outliers would coarsen all others."""

SEARCH: Final = engine.SearchParams(
    quantization=engine.QuantizationSearchParams(rescore=True, oversampling=2.0)  # 1: lists 96% of one segment's best
)
"""Segments without int8 are compared in full whatever this says."""


def config(index_from: int, dimension: int) -> engine.EdgeConfig:
    """Of a new shard, or for one that exists: its points stay as they are until the optimiser is asked."""
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
            vacuum_min_vector_number=changes(index_from),  # of which a fifth is gone: made anew without them
        ),
        # Segments are searched one after the other: a thread for each gains nothing, and eight for each shard are many.
        max_search_threads=1,
        wal_enabled=True,
    )


def changes(index_from: int) -> int:
    """After how many points added or removed the optimiser is asked: 500 of 25,000. Asking takes 0.1 ms when there is
    nothing to do; asked seldom, it would have much to do at once.
    """
    return max(1, index_from // 50)


def not_indexed(shard: engine.EdgeShard) -> int:
    """How many points have no int8, at least: the engine counts those that were removed since, too."""
    info = shard.info()
    return max(0, info.points_count - info.indexed_vectors_count)


def optimize_apart(shard: Path, lock: int) -> subprocess.Popen[bytes]:
    """Another process, which optimises the shard; nobody may have it open. If it fails the shard is as good as before.

    lock: a descriptor that it shall hold. Raises OSError.
    """
    return subprocess.Popen(  # noqa: S603 -- our own
        [sys.executable, "-m", __name__, str(shard), str(os.getpid())],
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main(shard: str, parent: str) -> None:
    """The shard has its configuration already."""
    # A worker that is restarted need not wait for what its predecessor began.
    die_with_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        return
    opened = engine.EdgeShard.load(shard)
    opened.optimize()
    opened.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
