"""Writes that have an effect only on a point that is as it was read."""

import re
from typing import Final

from qdrant_client import models

from shared.settings import Settings
from worker.store.base import Point, StoreError

LEAST_VERSION: Final = (1, 17)
"""The first version of Qdrant that knows both a filter and a mode of an upsert; earlier ones ignore what they do not
know, and would write without a condition
(https://qdrant.tech/documentation/manage-data/points/#conditional-updates)."""


def unchanged(point_id: str, read: Point) -> models.Filter:
    """Return the filter for a point as long as it is as it was read. point_id: its id in the engine."""
    conditions: list[models.Condition] = [models.HasIdCondition(has_id=[point_id])]
    for key, value in (read.as_read or {}).items():
        if value is None:
            conditions.append(models.IsEmptyCondition(is_empty=models.PayloadField(key=key)))
        else:
            conditions.append(models.FieldCondition(key=key, match=models.MatchValue(value=value)))
    return models.Filter(must=conditions)


def condition_ordering(settings: Settings) -> models.WriteOrdering:
    """Return the ordering of writes with a condition. Each copy decides on its own whether the condition holds, so with
    several copies one certain copy has to order them: while that one is away, persons get and lose no single faces.
    """
    return models.WriteOrdering.STRONG if settings.qdrant_replicas > 1 else models.WriteOrdering.WEAK


def require_version(version: str) -> None:
    """Raise StoreError if a server of that version does not know conditions. An unknown form of a version passes."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and tuple(map(int, found.groups())) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise StoreError(f"Qdrant {found[0]} cannot keep several faces of a person right; use {least} or later")
