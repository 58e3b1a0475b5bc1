"""Which faces of a photo with several are embedded: those to add, and those to search for.

The methods of a selection raise Unavailable when the time is over, and TooManyFaces when the job can never succeed: the
image has more than MAX_ADDED faces, or this machine computed for as long as a job may take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from shared.contract import MAX_ADDED, Faces, Flaw
from shared.errors import SeveralFaces, TooManyFaces, Unavailable
from shared.jobs import AddJob, Job, SearchJob
from worker.delivery.deadline import require_time
from worker.delivery.time_limit import Stopwatch
from worker.runtime import Runtime
from worker.vision.geometry import Box
from worker.vision.quality import Gate, Quality
from worker.vision.service import FaceSelection

log = structlog.stdlib.get_logger(__name__)

_INSTEAD: Final = "send parts of it, or faces=largest"


class _Bounded(FaceSelection):
    """A selection that ends the work when it takes too long. done: what is done to faces, such as "added". gate: for
    their quality.
    """

    def __init__(self, job: Job, runtime: Runtime, done: str, gate: Gate | None) -> None:
        self._job = job
        self._done = done
        self._gate = gate
        self._patience_s = runtime.patience_s
        self._taken = Stopwatch(runtime.waited_s)
        self._found = 0
        self._looked_at = 0

    def before_batch(self, cpu_s: float) -> None:
        require_time(self._job)
        if self._taken.seconds() > self._patience_s:
            # A repetition would need the same computing time, but not the time it waited for a device or a disk.
            if self._looked_at and cpu_s > self._patience_s:
                raise TooManyFaces(
                    f"img shows {self._found} faces, more than can be {self._done} at once here: {_INSTEAD}"
                )
            raise Unavailable("describing takes too long")

    def _require_few(self) -> None:
        if self._found > MAX_ADDED:
            raise TooManyFaces(
                f"img shows {self._found} faces; at most {MAX_ADDED} can be {self._done} at once: {_INSTEAD}"
            )

    def _is_too_small(self, size: float) -> bool:
        return self._gate is not None and self._gate.is_too_small(size)

    def _flaw(self, quality: Quality) -> Flaw | None:
        return self._gate.flaw(quality) if self._gate is not None else None


class ToAdd(_Bounded):
    """Selects the faces that are added: those of sufficient quality; with Faces.ONE, only a single one, or
    SeveralFaces is raised.
    """

    def __init__(self, job: AddJob, runtime: Runtime) -> None:
        super().__init__(job, runtime, "added", runtime.gates.add)
        self._faces = job.faces
        self._metrics = runtime.metrics
        self._taken_in = 0
        self._left_out: list[tuple[float, Flaw]] = []

    @property
    def flaw(self) -> Flaw:
        """The flaw of the largest face that was left out. Raises ValueError when none was."""
        return max(self._left_out)[1]

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        self._looked_at = self._taken_in = 0
        self._left_out.clear()
        numbers = []
        for number, size in enumerate(sizes):
            if self._is_too_small(size):
                self._leave_out(size, Flaw.SIZE)
            else:
                numbers.append(number)
        self._found = len(numbers)
        if self._faces is Faces.ALL:
            self._require_few()
        return numbers

    def accepts(self, number: int, quality: Quality, box: Box) -> bool:  # noqa: ARG002 -- the interface's
        self._looked_at += 1
        flaw = self._flaw(quality)
        if flaw is not None:
            self._leave_out(quality.size, flaw)
            return False
        self._taken_in += 1
        if self._faces is Faces.ONE and self._taken_in > 1:
            raise SeveralFaces
        return True

    def _leave_out(self, size: float, flaw: Flaw) -> None:
        self._left_out.append((size, flaw))
        log.debug("face_left_out", flaw=flaw)
        self._metrics.left_out(flaw)


@dataclass(frozen=True)
class Seen:
    """A face of a photo. number: from left to right. box: as `Face.box`. flaw: None where its quality suffices."""

    number: int
    box: Box
    quality: Quality
    flaw: Flaw | None


class ToSearch(_Bounded):
    """Selects the faces that are searched for: those of sufficient quality. seen: these and the others, from left to
    right, MAX_ADDED at most; of faces that are too small the smallest are left out.
    """

    def __init__(self, job: SearchJob, runtime: Runtime) -> None:
        super().__init__(job, runtime, "searched for", runtime.gates.search)
        self.seen: list[Seen] = []

    @property
    def flaw(self) -> Flaw:
        """The flaw of the largest face that is not searched for. Raises ValueError when all are."""
        return max((face.quality.size, face.flaw) for face in self.seen if face.flaw is not None)[1]

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        self._looked_at = 0
        self.seen.clear()
        self._found = sum(not self._is_too_small(size) for size in sizes)
        self._require_few()
        largest = sorted(range(len(sizes)), key=lambda number: -sizes[number])
        return sorted(largest[:MAX_ADDED])

    def accepts(self, number: int, quality: Quality, box: Box) -> bool:
        self._looked_at += 1
        flaw = self._flaw(quality)
        self.seen.append(Seen(number, box, quality, flaw))
        return flaw is None
