"""Announcing callers to batching sessions, at the stage in which a caller makes its tensor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worker.vision.batched_session import BatchedSession
from worker.vision.service import Observer


class BatchObserver:
    """An Observer that announces the calling thread to batching sessions, and passes everything on to another Observer
    but the number of faces embedded together: the session counts those itself.
    """

    def __init__(self, observer: Observer, models: Mapping[str, BatchedSession]) -> None:
        """models: by the name of the stage in which a tensor is made, the session that it is for.

        Not an earlier stage, such as decoding: a caller that arrives later than others may wait does not help them.
        """
        self._observer = observer
        self._models = models

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if name in self._models:
            self._models[name].announce()
        try:
            with self._observer.stage(name):
                yield
        except BaseException:
            self._withdraw()
            raise

    def found(self, faces: int) -> None:
        self._observer.found(faces)

    def embedded(self, faces: int) -> None:
        if not faces:
            self._withdraw()

    def _withdraw(self) -> None:
        for model in self._models.values():
            model.withdraw()
