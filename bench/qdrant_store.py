"""What a store on a Qdrant server costs on the worker's side, and what Qdrant's graph finds.

    PYTHONPATH=tests .venv/bin/python bench/qdrant_store.py [calls | recall]

calls: one call of the store at a time against the stand-in of tests/qdrant_server.py, over REST and gRPC by turns:
median milliseconds, and milliseconds of CPU in the caller. The server's own time is the stand-in's and tells nothing.

recall: Qdrant's engine (Qdrant Edge) over made-up faces, five to a person, indexed and quantised as the settings'
defaults ask a server to: which part of what exact search lists at a cosine of 0.363 and above is listed, and what a
search takes. Prints JSON.
"""

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from qdrant_server import served
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.qdrant.layout import QUANTILE
from worker.store.qdrant.opening import open_qdrant

DIMENSION = 128
IDENTITY = Identity("bench", "0" * 64, 1, DIMENSION)
ROUNDS = 400
PERSONS = 20_000
FACES_EACH = 5
KNOWN = uuid.uuid5(uuid.NAMESPACE_OID, "0")
LEAST_COSINE = 0.363  # what is listed at a confidence of 80 with the default model

Vectors = npt.NDArray[np.float32]


def units(rows: Vectors) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cost(call: Callable[[], object]) -> dict[str, float]:
    for _ in range(20):
        call()
    times, begun = [], time.process_time()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    cpu = (time.process_time() - begun) / ROUNDS
    return {"median_ms": round(statistics.median(times) * 1e3, 2), "cpu_ms": round(cpu * 1e3, 2)}


def calls() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    person = rng.standard_normal(DIMENSION)
    alike = units(person + 0.3 * rng.standard_normal((60, DIMENSION)))
    stranger = units(rng.standard_normal((1, DIMENSION)))[0]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        for turn in range(2):
            for protocol in ("rest", "grpc"):
                settings = Settings(
                    qdrant_url=server.url, qdrant_grpc=protocol == "grpc", qdrant_grpc_port=server.grpc_port
                )
                with closing(open_qdrant(settings, IDENTITY)) as store:
                    store.add(
                        "bench.db", [Point(uuid.uuid5(uuid.NAMESPACE_OID, str(n)), "x", v) for n, v in enumerate(alike)]
                    )

                    figures[f"{protocol} {turn}"] = {
                        "add 1": cost(lambda store=store: store.add("bench.db", [Point(KNOWN, "x", alike[0])])),
                        "search, 50 found": cost(
                            lambda store=store: store.search("bench.db", alike[0], 50, LEAST_COSINE)
                        ),
                        "search, none found": cost(lambda store=store: store.search("bench.db", stranger, 50, 0.9)),
                        "contains": cost(lambda store=store: store.contains("bench.db", KNOWN)),
                    }
    return figures


def recall() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((PERSONS, DIMENSION))
    # Faces of one person lie at a cosine of about 0.6 from each other.
    spread = 0.82
    faces = units(
        np.repeat(centres, FACES_EACH, axis=0) + spread * rng.standard_normal((PERSONS * FACES_EACH, DIMENSION))
    )
    asked = units(centres[:500] + spread * rng.standard_normal((500, DIMENSION)))
    truth = [set(np.flatnonzero(row >= LEAST_COSINE).tolist()) for row in asked @ faces.T]
    defaults = Settings()
    hnsw = edge.HnswIndexConfig(
        m=defaults.qdrant_hnsw_m, ef_construct=defaults.qdrant_hnsw_ef_construct, full_scan_threshold=10_000
    )
    int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=QUANTILE, always_ram=True)
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=DIMENSION, distance=edge.Distance.Cosine),
        hnsw_config=hnsw,
        quantization_config=int8,
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000),
        max_search_threads=1,
    )
    figures: dict[str, Any] = {"faces": len(faces), "listed_by_exact_search": sum(map(len, truth))}
    with tempfile.TemporaryDirectory() as folder:
        shard = edge.EdgeShard.create(str(Path(folder) / "shard"), config)
        for start in range(0, len(faces), 1000):
            points = [edge.Point(start + n, v.tolist(), {}) for n, v in enumerate(faces[start : start + 1000])]
            shard.update(edge.UpdateOperation.upsert_points(points))
        begun = time.perf_counter()
        shard.optimize()
        figures["build_s"] = round(time.perf_counter() - begun, 1)
        figures["indexed"] = shard.info().indexed_vectors_count
        variants: dict[str, edge.SearchParams] = {"exact": edge.SearchParams(exact=True)}
        for ef in (64, 128, 256, 512):
            for oversampling in (1.0, 2.0, 4.0):
                rescore = edge.QuantizationSearchParams(rescore=True, oversampling=oversampling)
                variants[f"ef {ef}, oversampling {oversampling:g}"] = edge.SearchParams(
                    hnsw_ef=ef, quantization=rescore
                )
            ignore = edge.QuantizationSearchParams(ignore=True)
            variants[f"ef {ef}, not quantised"] = edge.SearchParams(hnsw_ef=ef, quantization=ignore)
        for name, params in variants.items():
            figures[name] = searched(shard, params, asked, truth)
        shard.close()
    return figures


def searched(
    shard: edge.EdgeShard, params: edge.SearchParams, asked: Vectors, truth: list[set[int]]
) -> dict[str, float]:
    hits, times = 0, []
    for vector, wanted in zip(asked, truth, strict=True):
        request = edge.QueryRequest(
            query=edge.Query.Nearest(vector.tolist()), limit=50, score_threshold=LEAST_COSINE, params=params
        )
        start = time.perf_counter()
        found = shard.query(request)
        times.append(time.perf_counter() - start)
        hits += len(wanted & {int(point.id) for point in found})
    return {"recall": round(hits / sum(map(len, truth)), 4), "median_ms": round(statistics.median(times) * 1e3, 2)}


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["calls", "recall"]
    print(json.dumps({name: {"calls": calls, "recall": recall}[name]() for name in wanted}, indent=2))
