"""Who tells a batching model that a caller is about to come: the stage in which its tensor is made."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worker.vision.batched_session import BatchedSession
from worker.vision.service import Observer


class BatchObserver:
    """An Observer that announces the calling thread to models, and tells another Observer all but how many faces went
    together: that, the model itself knows.
    """

    def __init__(self, observer: Observer, models: Mapping[str, BatchedSession]) -> None:
        """models: stages at whose beginning a tensor is about to be made, each with the model that it is for.

        Not the stage before, such as decoding: a caller that comes much later than others may wait is no help to them.
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
