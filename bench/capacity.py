"""What a stored face takes, in memory and on disk, in Qdrant's own engine (Qdrant Edge, in this process).

    .venv/bin/python bench/capacity.py [FACES]

Twice: as embedded mode keeps faces (vectors alone), and as a Qdrant server keeps a large collection (with the graph and
the quantised vectors of the default settings). Vectors of 128 numbers, clustered by person. Prints JSON.
"""

import json
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import qdrant_edge as engine

from shared.settings import Settings

DIMENSION = 128
BATCH = 1000
PHOTOS = 4
"""Of each person."""

SPREAD = 0.75
"""Of a person's photos around their mean, relative to it: their cosines are about 0.64, as SFace's are."""


def faces(count: int) -> np.ndarray:
    """float32 (count, DIMENSION) unit vectors."""
    random = np.random.default_rng(1)
    people = random.standard_normal((-(-count // PHOTOS), DIMENSION)).repeat(PHOTOS, axis=0)[:count]
    vectors = people + SPREAD * random.standard_normal((count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def memory() -> dict[str, int]:
    """Bytes of this process: its own, and those of mapped files, which the system may drop."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    found = {line[0]: int(line[1]) << 10 for line in lines if line and line[0] in ("RssAnon:", "RssFile:")}
    return {"own": found["RssAnon:"], "mapped": found["RssFile:"]}


def disk(folder: Path) -> int:
    """Bytes that are really taken: the engine's files have holes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def config(settings: Settings, *, indexed: bool) -> engine.EdgeConfig:
    vectors = engine.EdgeVectorParams(size=DIMENSION, distance=engine.Distance.Cosine)
    if not indexed:
        return engine.EdgeConfig(vectors=vectors, max_search_threads=1, wal_enabled=True)
    return engine.EdgeConfig(
        vectors=vectors,
        hnsw_config=engine.HnswIndexConfig(settings.qdrant_hnsw_m, settings.qdrant_hnsw_ef_construct, 10_000),
        quantization_config=engine.ScalarQuantizationConfig(engine.ScalarType.Int8, quantile=0.99, always_ram=True),
        wal_enabled=True,
    )


def measure(vectors: np.ndarray, *, indexed: bool) -> dict[str, object]:
    count = len(vectors)
    folder = Path(tempfile.mkdtemp())
    try:
        before = memory()
        shard = engine.EdgeShard.create(str(folder), config(Settings(), indexed=indexed))
        for start in range(0, count, BATCH):
            shard.update(
                engine.UpdateOperation.upsert_points(
                    [
                        engine.Point(str(uuid.uuid4()), vector.tolist(), {"name": f"ID{start + number}"})
                        for number, vector in enumerate(vectors[start : start + BATCH])
                    ]
                )
            )
        shard.flush()
        started = time.perf_counter()
        if indexed:
            shard.optimize()
            shard.flush()
        took, after = time.perf_counter() - started, memory()
        return {
            "indexed": indexed,
            "disk_bytes_a_face": round(disk(folder) / count),
            **{f"{kind}_bytes_a_face": round((after[kind] - before[kind]) / count) for kind in after},
            "index_s": round(took, 1),
        }
    finally:
        shutil.rmtree(folder)


def main() -> None:
    vectors = faces(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    for indexed in (False, True):
        print(json.dumps({"faces": len(vectors), **measure(vectors, indexed=indexed)}))


if __name__ == "__main__":
    main()
