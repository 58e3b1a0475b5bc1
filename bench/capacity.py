"""What a stored face takes on a Qdrant server, in memory and on disk, measured in Qdrant's own engine (Qdrant Edge).

    .venv/bin/python bench/capacity.py [FACES]

With the graph and the quantised vectors that the default settings ask a server for. bench/store.py measures the
embedded store, on the same made-up faces. Prints JSON.
"""

import json
import sys
import tempfile
import time
import uuid
from itertools import islice
from pathlib import Path

import qdrant_edge as engine
from store import BATCH, DIMENSION, Faces, disk, memory

from shared.settings import Settings
from worker.store.qdrant.layout import QUANTILE


def config(settings: Settings) -> engine.EdgeConfig:
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=DIMENSION, distance=engine.Distance.Cosine),
        hnsw_config=engine.HnswIndexConfig(settings.qdrant_hnsw_m, settings.qdrant_hnsw_ef_construct, 10_000),
        quantization_config=engine.ScalarQuantizationConfig(engine.ScalarType.Int8, quantile=QUANTILE, always_ram=True),
        wal_enabled=True,
    )


def measure(count: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        before = memory()
        shard = engine.EdgeShard.create(name, config(Settings()))
        for start, vectors in enumerate(islice(Faces().batches(), -(-count // BATCH))):
            points = [
                engine.Point(str(uuid.uuid4()), vector.tolist(), {"name": f"ID{BATCH * start + number}"})
                for number, vector in enumerate(vectors)
            ]
            shard.update(engine.UpdateOperation.upsert_points(points))
        shard.flush()
        started = time.perf_counter()
        shard.optimize()
        shard.flush()
        took, after = time.perf_counter() - started, memory()
        stored = shard.count(engine.CountRequest(exact=True))
        taken = {f"{kind}_bytes_a_face": round((after[kind] - before[kind]) / stored) for kind in after}
        shard.close()
        return {
            "faces": stored,
            "disk_bytes_a_face": round(disk(Path(name)) / stored),
            **taken,
            "index_s": round(took, 1),
        }


def main() -> None:
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)))


if __name__ == "__main__":
    main()
