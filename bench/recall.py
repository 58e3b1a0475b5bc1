"""Recall and time of searches on Qdrant, by number of faces and by setting, with the hardest faces for a graph.

    .venv/bin/python bench/recall.py [--quick] [--no-graph] [FACES ...]

With QDRANT_URL (and QDRANT_API_KEY) on that server, through the store as a worker uses it, in collections of its own,
which it removes. Otherwise in the engine of a server, Qdrant Edge, in this process, with the segments and parameters
that a server on two cores has. The results name the engine.

The faces are `RandomPeople` of bench/made_up_faces.py, four photos of a person; the probes are other photos of people
in the gallery. `listed`: the part of the faces from a confidence of 80 on that exact search lists; `missed people`: the
probes for which no face of their person is listed; `top50`: the part of the 50 best at any confidence. The time is of
one caller's searches for what is listed; `cpu` is this process's, in which Qdrant Edge is. `build`: from the last add
until all is quantised, and linked where there is a graph. Prints and keeps each row when it is measured. FACES: only
these sizes; rows of other sizes, settings and engines stay. --no-graph: only what needs none. --quick: 20,000 faces,
and fewer links.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import numpy as np
import qdrant_edge as edge
import results
from made_up_faces import DIMENSION, PHOTOS_EACH, RandomPeople, Vectors
from store import LEAST_COSINE, LIMIT, OURS, Exact, memory, percentiles, points

from shared.settings import Settings
from worker.store.base import StoreError
from worker.store.qdrant.backend import open_qdrant
from worker.store.qdrant.layout import QUANTILE

BATCH: Final = 1_000
PROBES: Final = 2_000
SEGMENTS: Final = 2
"""What a server with two cores makes of a collection."""

INDEX_FROM_KB: Final = 10_000
"""From this size on a server quantises a segment: its default."""

NO_GRAPH: Final = "--no-graph"

BUILD_TIMEOUT_S: Final = 3 * 3600


@dataclass(frozen=True)
class Setting:
    """links: of the graph; 0: there is none, and all int8 copies are compared. ef: neighbours that a search considers,
    for each of which the graph is measured.
    """

    links: int = 0
    construct: int = 0
    efs: Sequence[int] = (0,)
    exact: bool = False

    def named(self, ef: int) -> str:
        if self.exact:
            return "full vectors, all compared"
        return f"graph, m {self.links}, ef_construct {self.construct}, ef {ef}" if self.links else "int8, all compared"


SCAN: Final = Setting()
RUNS: Final = {
    200_000: (SCAN, Setting(16, 128, (512, 1024)), Setting(32, 256, (512, 1024, 2048)), Setting(exact=True)),
    1_000_000: (SCAN,),
}
QUICK: Final = {20_000: (SCAN, Setting(8, 32, (64,)))}


class Filled(Protocol):
    """A collection with faces whose ids are their numbers."""

    build_s: float

    def search(self, vector: Vectors, least: float, ef: int) -> set[int]: ...

    def memory(self) -> int: ...


class InProcess:
    """A collection of Qdrant Edge."""

    engine = f"Qdrant Edge {version('qdrant-edge-py')}, in process"

    def __init__(self, folder: Path, batches: Sequence[Vectors], setting: Setting) -> None:
        self._exact, self._before = setting.exact, sum(memory().values())
        kilobytes = len(batches) * BATCH * DIMENSION * 4 // 1024 // SEGMENTS
        asked = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=DIMENSION, distance=edge.Distance.Cosine),
            hnsw_config=edge.HnswIndexConfig(setting.links, max(4, setting.construct), INDEX_FROM_KB),
            quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=QUANTILE, always_ram=True),
            optimizers=edge.EdgeOptimizersConfig(
                default_segment_number=SEGMENTS, indexing_threshold=INDEX_FROM_KB, max_segment_size=kilobytes + 1
            ),
            max_search_threads=SEGMENTS,
            wal_enabled=False,
        )
        self._shard = edge.EdgeShard.create(str(folder), asked)
        for number, vectors in enumerate(batches):
            found = [
                edge.Point(str(point.person_id), point.vector.tolist(), {"name": point.name})
                for point in points(vectors, number * BATCH)
            ]
            self._shard.update(edge.UpdateOperation.upsert_points(found))
        begun = time.perf_counter()
        self._shard.optimize()
        self.build_s = time.perf_counter() - begun

    def search(self, vector: Vectors, least: float, ef: int) -> set[int]:
        rescore = edge.QuantizationSearchParams(rescore=True, oversampling=Settings().qdrant_oversampling)
        asked = edge.QueryRequest(
            query=edge.Query.Nearest(vector.tolist()),
            limit=LIMIT,
            score_threshold=least,
            params=edge.SearchParams(exact=self._exact, hnsw_ef=ef or None, quantization=rescore),
            with_payload=True,
        )
        return {uuid.UUID(str(point.id)).int for point in self._shard.query(asked)}

    def memory(self) -> int:
        return sum(memory().values()) - self._before

    def close(self) -> None:
        self._shard.close()


class OnServer:
    """A collection on the server of QDRANT_URL."""

    def __init__(self, batches: Sequence[Vectors], setting: Setting) -> None:
        self._name = f"bench.{uuid.uuid4().hex}"
        self._http = server()
        self._before = self._resident()
        self._asked = {
            "exact_below": 10**9 if setting.exact else 1,
            "qdrant_graph_from": 1 if setting.links else 10**9,
            "qdrant_hnsw_m": setting.links or 16,
            "qdrant_hnsw_ef_construct": setting.construct or 128,
            "store_timeout_s": 60,
            "visibility_timeout_s": 600,
        }
        self._stores = {0: open_qdrant(Settings(**self._asked), OURS)}
        for number, vectors in enumerate(batches):
            self._stores[0].add(self._name, points(vectors, number * BATCH))
        begun = time.perf_counter()
        self._stores[0].search(self._name, batches[0][0], LIMIT, LEAST_COSINE)  # asks for the graph
        self._wait_until_built(setting.links)
        self.build_s = time.perf_counter() - begun

    def search(self, vector: Vectors, least: float, ef: int) -> set[int]:
        if ef not in self._stores:
            self._stores[ef] = open_qdrant(Settings(**self._asked, qdrant_hnsw_ef=ef), OURS)
        found = self._stores[ef].search(self._name, vector, LIMIT, least)
        return {match.person_id.int for match in found}

    def memory(self) -> int:
        return self._resident() - self._before

    def close(self) -> None:
        self._stores[0].drop(self._name)
        for store in self._stores.values():
            store.close()
        self._http.close()

    def _wait_until_built(self, links: int) -> None:
        """Wait until the optimiser has had nothing to do for two seconds: it may begin late."""
        end, still = time.monotonic() + BUILD_TIMEOUT_S, 0
        while still < 8:
            if time.monotonic() > end:
                raise StoreError("the server does not finish building")
            time.sleep(0.25)
            found = self._http.get(f"/collections/{self._name}").json()["result"]
            ready = found["status"] == "green" and found["config"]["hnsw_config"]["m"] == links
            still = still + 1 if ready else 0

    def _resident(self) -> int:
        lines = self._http.get("/metrics").text.splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("memory_resident_bytes ")))


def server() -> httpx.Client:
    settings = Settings()
    key = settings.qdrant_api_key
    headers = {"api-key": key.get_secret_value()} if key else {}
    return httpx.Client(base_url=settings.qdrant_url or "", headers=headers, timeout=60)


def engine() -> str:
    if not Settings().qdrant_url:
        return InProcess.engine
    with server() as http:
        return f"Qdrant server {http.get('/').json()['version']}, over {'gRPC' if Settings().qdrant_grpc else 'REST'}"


@contextmanager
def filled(batches: Sequence[Vectors], setting: Setting) -> Iterator[Filled]:
    if Settings().qdrant_url:
        made: InProcess | OnServer = OnServer(batches, setting)
        try:
            yield made
        finally:
            made.close()
        return
    folder = Path(tempfile.mkdtemp())
    try:
        made = InProcess(folder, batches, setting)
        yield made
        made.close()
    finally:
        shutil.rmtree(folder)


def measured(collection: Filled, probes: Vectors, exact: Exact, ef: int) -> dict[str, Any]:
    """Return recall and times. The first probes are of people whose photos have the numbers n, n + BATCH, ..."""
    times: list[float] = []
    used: list[float] = []
    answers: list[set[int]] = []
    for vector in probes:
        begun, spent = time.perf_counter(), time.process_time()
        answers.append(collection.search(vector, LEAST_COSINE, ef))
        times.append(time.perf_counter() - begun)
        used.append(time.process_time() - spent)
    wanted = exact.best(LEAST_COSINE)
    same = [any(n % BATCH + BATCH * k in found for k in range(PHOTOS_EACH)) for n, found in enumerate(answers)]
    best = [(found, collection.search(probes[n], -1, ef)) for n, found in enumerate(exact.best(-1)[:200])]
    return {
        "listed": round(sum(len(a & b) for a, b in zip(wanted, answers, strict=True)) / sum(map(len, wanted)), 5),
        "missed_people": len(probes) - sum(same),
        "top50": round(statistics.fmean(len(a & b) / LIMIT for a, b in best), 4),
        **percentiles(times),
        "cpu": percentiles(used),
    }


def measure(faces: int, settings: Sequence[Setting]) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting, and for each ef of a graph."""
    made = RandomPeople()
    people = made.people(BATCH)
    batches = [made.photos(people) for _ in range(PHOTOS_EACH)]
    probes = np.concatenate([made.photos(people) for _ in range(PROBES // BATCH)])
    more = made.batches(BATCH)
    batches += [next(more) for _ in range(faces // BATCH - PHOTOS_EACH)]
    exact = Exact(probes)
    for number, vectors in enumerate(batches):
        exact.add(vectors, number * BATCH)
    for setting in settings:
        with filled(batches, setting) as collection:
            kept = {"faces": faces, "build_s": round(collection.build_s, 1)}
            for ef in setting.efs:
                row = {"setting": setting.named(ef), **kept, **measured(collection, probes, exact, ef)}
                yield {**row, "bytes_a_face": round(collection.memory() / faces)}


def kept_rows() -> list[dict[str, Any]]:
    """Return the rows of the last runs."""
    try:
        rows: list[dict[str, Any]] = results.kept("recall")["rows"]
    except FileNotFoundError:
        return []
    return rows


def keep(row: dict[str, Any]) -> None:
    """Add a row to the results, over one of the same engine, size and setting."""
    rows = {(one["engine"], one["faces"], one["setting"]): one for one in [*kept_rows(), row]}
    ordered = sorted(rows.values(), key=lambda one: (one["engine"], one["faces"]))
    results.keep("recall", {"probes": PROBES, "rows": ordered})


def main() -> None:
    named = [int(given) for given in sys.argv[1:] if given.isdigit()]
    runs, used = QUICK if results.is_quick() else RUNS, engine()
    print(used)
    for faces in named or runs:
        settings = [one for one in runs.get(faces, (SCAN,)) if not (one.links and NO_GRAPH in sys.argv)]
        for found in measure(faces, settings):
            row = {"engine": used, **found}
            keep(row)
            print(json.dumps(row))
            cpu = row["cpu"]
            print(
                f"{faces:>9,}  {row['setting']:<42}  listed {row['listed']:.4f}  missed {row['missed_people']} of"
                f" {PROBES:,}  top 50 {row['top50']:.4f}  p50 {row['p50_ms']:.2f} p99 {row['p99_ms']:.2f} ms"
                f"  CPU p50 {cpu['p50_ms']:.2f} p99 {cpu['p99_ms']:.2f} ms"
                f"  build {row['build_s']} s  {row['bytes_a_face']} B",
                flush=True,
            )


if __name__ == "__main__":
    main()
