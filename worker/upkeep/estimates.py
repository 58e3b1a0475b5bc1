"""Estimates of how often strangers of a facedb reach a confidence, made for a command or a gateway
(shared/confidence.py) a little at a time, while jobs go on.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np
from redis import Redis

from shared.confidence import REQUEST, Estimate, Level, Progress, Request
from worker.confidence import rates, strangers
from worker.confidence.rates import FARS
from worker.confidence.strangers import MAX_FACES, MIN_FACES
from worker.models.calibration import Calibration
from worker.models.spaces import Spaces
from worker.store.base import PAGE, Store, StoreError
from worker.store.views import served
from worker.upkeep.pace import AbandonedError
from worker.upkeep.requests import Events, ProgressReport, RequestPoller

EVENTS: Final = Events("estimate_begun", "estimate_ended", "estimate_crashed", "estimate_not_understood")

Step = Callable[[int, int], None]
"""Called with how many faces were read, and of how many, every few milliseconds of work."""


def estimate(store: Store, spaces: Spaces, collection: str, models: Mapping[str, Calibration], step: Step) -> Estimate:
    """Return the estimate for a facedb, of MAX_FACES of its faces at most. models: the calibrations of the embedders by
    their names. step: an exception of it ends the work.

    Raises AbandonedError, with the reason, if nothing can be said of these faces, and StoreError.
    """
    store = served(store, spaces, collection) or store
    model = models[store.identity.model]
    stored, vectors = store.count(collection), []
    total = min(stored, MAX_FACES)
    for number, point in enumerate(islice(store.points(collection), MAX_FACES), 1):
        vectors.append(point.vector)
        if number % PAGE == 0:
            step(number, total)
    faces = len(vectors)
    if faces < MIN_FACES:
        raise AbandonedError(
            f"it has {faces} faces, and {MIN_FACES} are needed to say how often strangers are alike; add more, or "
            "calibrate the model on photos of people like those (docs/calibration.md)"
        )
    try:
        found = strangers.estimate(np.stack(vectors), list(map(model.cosine, FARS)), lambda: step(faces, total))
        own = rates.calibration([level.own for level in found.levels])
    except ValueError as error:
        raise AbandonedError(f"nothing can be said of it: {error}") from error
    levels = tuple(
        Level(
            confidence=level.confidence,
            meant=level.far,
            cosine=level.cosine,
            rate=level.rate,
            low=level.low,
            high=level.high,
            counted=level.counted,
            told=level.told,
            own=level.own,
            error=level.error,
            ask=model.confidence(level.own),
        )
        for level in found.levels
    )
    return Estimate(
        identity=str(store.identity),
        stored=stored,
        faces=faces,
        repeated=found.repeated,
        pairs=found.pairs,
        levels=levels,
        points=own.points,
    )


class Estimates(RequestPoller[Request, Progress]):
    """Makes requested estimates. models: the calibrations of the worker's embedders, by their names."""

    def __init__(self, redis: Redis, store: Store, spaces: Spaces, models: Mapping[str, Calibration]) -> None:
        super().__init__("estimates", EVENTS, redis, REQUEST, Request, Progress())
        self._store, self._spaces, self._models = store, spaces, models

    def _carry_out(self, request: Request, report: ProgressReport) -> Progress:
        progress = Progress()

        def step(faces: int, total: int) -> None:
            nonlocal progress
            report.rest()
            progress = Progress(faces=faces, total=total, steps=progress.steps + 1)
            report.write(progress)
            report.begin()

        try:
            found = estimate(self._store, self._spaces, request.collection, self._models, step)
        except StoreError as error:
            raise AbandonedError(str(error)) from error
        return progress.model_copy(update={"state": "done", "faces": found.faces, "estimate": found})

    def _figures(self, ended: Progress) -> Mapping[str, Any]:
        return ended.model_dump(exclude={"estimate", "total"})
