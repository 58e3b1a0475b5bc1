"""The floor: a worker's part of a request, done in this process with no queue. No service on these cores takes less."""

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pybase64
from recognition import Pipeline
from summaries import latencies

from shared.contract import MAX_MATCHES, MIN_CONFIDENCE
from worker.models import catalog
from worker.models.spaces import spaces_of
from worker.store.base import Match, Point, Store
from worker.store.edge.store import EdgeStore
from worker.vision.service import Face

COLLECTION: Final = "bench"
WARM_UP: Final = 3


class Floor:
    """addface and searchface over the embedded store. May be called from several threads."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._faces = pipeline.service
        self._store = store
        self._least = catalog.calibration_of(pipeline.embedder).cosine(MIN_CONFIDENCE)

    def searchface(self, text: bytes) -> list[Match]:
        """Return the matches of an image in base64."""
        return self.matches(self._faces.embed_most_prominent(pybase64.b64decode(text, validate=True)))

    def addface(self, text: bytes) -> None:
        faces = self._faces.embed_all(pybase64.b64decode(text, validate=True))
        self._store.add(COLLECTION, [Point(uuid.uuid4(), "ID", face.vector) for face in faces])

    def matches(self, face: Face) -> list[Match]:
        return self._store.search(COLLECTION, face.vector, MAX_MATCHES, self._least)


@contextmanager
def floor(pipeline: Pipeline, stored: Sequence[bytes]) -> Iterator[Floor]:
    """Yield a floor whose store has the faces of these images."""
    identity = spaces_of(pipeline.embedder).preferred
    with tempfile.TemporaryDirectory() as name, closing(EdgeStore(Path(name), identity, 1)) as store:
        found = Floor(pipeline, store)
        for image in stored:
            found.addface(pybase64.b64encode(image))
        yield found


def run(work: Callable[[bytes], object], images: Sequence[bytes], threads: int, seconds: float) -> dict[str, float]:
    """Return images a second, milliseconds of CPU an image, and latencies, of threads that each take the next image."""
    texts = [pybase64.b64encode(image) for image in images]
    for text in texts[:WARM_UP]:
        work(text)

    def thread(number: int) -> list[float]:
        took: list[float] = []
        before = time.perf_counter()
        while before < until or not took:  # however late it begins, it does one
            work(texts[(number + threads * len(took)) % len(texts)])
            after = time.perf_counter()
            took.append(after - before)
            before = after
        return took

    with ThreadPoolExecutor(threads) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        until = start + seconds
        took = [one for times in pool.map(thread, range(threads)) for one in times]
        lasted, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "per_second": round(len(took) / lasted, 2),
        "cpu_ms": round(cpu * 1e3 / len(took), 3),
        **latencies(took),
    }
