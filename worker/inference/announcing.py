"""Announcing a vision process to the models, at the stage in which it makes the images of a request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from worker.vision.service import Observer


class Announced(Protocol):
    """A model to which callers announce themselves."""

    def announce(self) -> None:
        """Announce that the caller is about to bring images."""

    def withdraw(self) -> None:
        """Withdraw the announcement."""


class AnnouncingObserver:
    """An Observer that announces the caller to models, and passes everything on to another Observer but the number of
    faces embedded together: the model counts those itself.
    """

    def __init__(self, observer: Observer, models: Mapping[str, Announced]) -> None:
        """models: by the name of the stage in which images are made, the model that they are for.

        Not an earlier stage, such as decoding: a caller that comes later than others may wait does not help them.
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
