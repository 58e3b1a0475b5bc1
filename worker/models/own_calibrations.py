"""Calibrations of facedbs, which jobs carry. One holds only for embeddings of the identity it was measured on."""

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from shared.jobs import SentCalibration
from worker.models.calibration import Calibration

log = structlog.stdlib.get_logger(__name__)

REMEMBERED = 1000
"""Facedbs of which it is remembered that they were logged; beyond, all are forgotten."""


class OwnCalibrations:
    """Chooses between the calibration of a facedb and those of the models. Safe to use from several threads."""

    def __init__(self, models: Mapping[str, Calibration] = MappingProxyType({})) -> None:
        """models: the calibration of each embedder, by its name."""
        self._models = models
        self._logged: set[str] = set()

    def of(self, collection: str, sent: SentCalibration | None, identity: str, model: Calibration) -> Calibration:
        """Return the calibration by which confidences of the facedb are given: the one that was sent if it is sound and
        was measured for this identity; else the model's, which is logged once for each facedb. model: the calibration
        of the preferred embedder, which one of another embedder replaces by its own.
        """
        model = self._models.get(identity.partition(":")[0], model)
        if sent is None:
            return model
        if sent.identity != identity:
            self._log(collection, f"it was measured for {sent.identity}, and this worker makes {identity}")
            return model
        try:
            return Calibration(sent.points)
        except ValueError as error:
            self._log(collection, str(error))
            return model

    def _log(self, collection: str, reason: str) -> None:
        if collection in self._logged:
            return
        if len(self._logged) >= REMEMBERED:
            self._logged.clear()
        self._logged.add(collection)
        log.warning("facedb_calibration_not_used", collection=collection, reason=reason)
