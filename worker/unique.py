"""Unique adds: a face is added only if nobody in the facedb is so like it as the caller says.

worker/ledger/line.py says how they are kept apart, and docs/decisions/0033-options-of-search-and-add.md why so.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared.errors import NotYet, Unavailable
from shared.jobs import AddJob
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.facedb import Facedb
from worker.ledger.line import Line
from worker.photos import as_number
from worker.runtime import Runtime
from worker.vision.service import Face

POLL_S: Final = 0.01
"""Seconds between two looks at the line: a search and a write take about as long."""

MARGIN: Final = 1e-3
"""Subtracted from the least cosine of faces that wait for each other: stores round otherwise, and who waits without
need only loses time."""


class Existing(BaseModel):
    """Who is there already, so that a face is not added. name: None for a face of the same photo. confidence: how alike
    they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    person_id: uuid.UUID
    name: str | None
    confidence: int | float


_DECISION: Final = TypeAdapter(list[Existing | None])


@dataclass(frozen=True)
class Decision:
    """existing: for each face who is there already; None for one that is added. begun: Unix time in seconds, at or
    before which the decision began to hold; its writes must begin within START_S.
    """

    existing: Sequence[Existing | None]
    begun: float


@contextmanager
def decided(
    job: AddJob, runtime: Runtime, facedb: Facedb, faces: Sequence[Face], taken: Stopwatch
) -> Iterator[Decision]:
    """Decide which faces are added. The decision holds in the block, which is to write them. taken: since the job
    began. Raises NotYet when somebody alike is being added for too long, Unavailable, StoreError and RedisError.
    """
    adding = _UniqueAdd(job, runtime, facedb, faces)
    is_written = False
    try:
        adding.wait(taken)
        decision = adding.decision()
        yield decision
        is_written = None in decision.existing
    finally:
        adding.leave(is_written=is_written)


class _UniqueAdd:
    """An add in the line of its facedb."""

    def __init__(self, job: AddJob, runtime: Runtime, facedb: Facedb, faces: Sequence[Face]) -> None:
        self._job = job
        self._patience_s = runtime.patience_s
        self._store = facedb.store
        self._calibration = facedb.calibration(job.calibration)
        self._least = self._calibration.cosine(job.unique or 0)
        self._vectors = np.stack([face.vector for face in faces]).astype("<f4")
        self._ids = [job.face_id(face.number) for face in faces]
        self._line = Line(runtime.ledger, job)
        self._space = hashlib.sha256(str(facedb.identity).encode()).digest()
        self._look = self._line.enter(self._space + self._vectors.tobytes())

    def wait(self, taken: Stopwatch) -> None:
        """Wait until nobody before this add has a face like one of its own, or its origin has decided."""
        alike: dict[str, bool] = {}
        while True:
            unknown = self._look.before - alike.keys()
            alike |= {origin: self._is_alike(theirs) for origin, theirs in self._line.embeddings(unknown).items()}
            if self._look.decided is not None or not any(alike[origin] for origin in self._look.before):
                return
            require_time(self._job)
            if taken.seconds() > self._patience_s:
                raise NotYet("somebody alike is being added")
            time.sleep(POLL_S)
            self._look = self._line.look()

    def decision(self) -> Decision:
        """Return what the origin has decided, or decide."""
        decided, begun = self._look.decided, time.time()
        if decided is None:
            found = self._existing()
            if None not in found:
                return Decision(found, begun)
            decided, begun = _DECISION.dump_json(found).decode(), time.time()
        counts = self._line.decide(self._look.place, decided)
        if counts is None:
            raise Unavailable("the place in the line was lost")
        existing = _DECISION.validate_json(counts)
        if len(existing) != len(self._ids):
            raise Unavailable("a worker with other settings saw other faces")
        return Decision(existing, begun)

    def leave(self, *, is_written: bool) -> None:
        self._line.leave(self._look.place, done=is_written)

    def _existing(self) -> list[Existing | None]:
        """Return for each face who is like it: in the facedb, or a face before it in the photo. A face that the origin
        added before is no other: it is added again, which changes nothing.
        """
        existing: list[Existing | None] = []
        for number, vector in enumerate(self._vectors):
            require_time(self._job)
            alike = [
                (cosine, Existing(person_id=self._ids[other], name=None, confidence=self._confidence(cosine)))
                for other, found in enumerate(existing)
                if found is None and (cosine := float(np.dot(vector, self._vectors[other]))) >= self._least
            ]
            for match in self._store.search(self._job.collection, vector, 1, self._least):
                confidence = self._confidence(match.cosine)
                there = Existing(person_id=match.person_id, name=match.name, confidence=confidence)
                alike.append((match.cosine, there))
            is_new = not alike or self._store.contains(self._job.collection, self._ids[number])
            existing.append(None if is_new else max(alike, key=lambda each: each[0])[1])
        return existing

    def _confidence(self, cosine: float) -> float:
        return as_number(self._calibration.confidence(cosine))

    def _is_alike(self, embeddings: bytes | None) -> bool:
        """Return whether a face of these embeddings may be like one of ours."""
        size = len(self._space)
        if embeddings is None or embeddings[:size] != self._space:
            return True  # lost, or of another model, as while a facedb is switched to it
        theirs = np.frombuffer(embeddings[size:], "<f4").reshape(-1, self._vectors.shape[1])
        return bool((theirs @ self._vectors.T >= self._least - MARGIN).any())
