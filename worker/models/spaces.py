"""The embedding spaces of a service: those of its embedders, one for each way of preprocessing that it knows.

A facedb keeps the space of its first face: photos are not kept, so its faces cannot be embedded again. So a worker
serves facedbs of all these spaces, and new facedbs get the one that the settings prefer. A worker has a second embedder
while facedbs are migrated from one model to another (docs/decisions/0039-another-model-without-an-outage.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.models.catalog import Embedder
from worker.models.identity import Identity, identity
from worker.models.versions import PREPROCESSINGS, Preprocessing

FOR_NEW: Final = (3,)
"""Versions of the preprocessing that new facedbs may get, best first (worker/models/versions.py)."""

MIRRORING: Final = (4,)
"""Versions that are preferred to these with FACESEARCH_MIRROR_FACES."""


@dataclass(frozen=True)
class Spaces:
    """preprocessings: that of each space, by its identity. for_new: the identities that a new facedb may get, best
    first.
    """

    preprocessings: Mapping[Identity, Preprocessing]
    for_new: Sequence[Identity]

    @property
    def preferred(self) -> Identity:
        """The identity that a new facedb gets, unless a worker is alive that does not serve it."""
        return self.for_new[0]

    @property
    def preprocessing(self) -> Preprocessing:
        """The preferred one."""
        return self.preprocessings[self.preferred]

    def serves(self, identity: str) -> bool:
        """Return whether this is, as a text, the identity of one of the spaces."""
        return identity in map(str, self.preprocessings)

    def foreign(self, identities: Mapping[str, str]) -> dict[str, str]:
        """Return those of the collections that are of no space. identities: of each collection, as a text."""
        return {name: identity for name, identity in identities.items() if not self.serves(identity)}


def spaces_of(model: Embedder, second: Embedder | None = None, *, mirror_faces: bool = False) -> Spaces:
    """Return the spaces of a service with this embedder and perhaps a second one, whose spaces a new facedb gets only
    where not all workers serve those of the first. mirror_faces: as in the settings.
    """
    versions = (*MIRRORING, *FOR_NEW) if mirror_faces else FOR_NEW
    preprocessings = {identity(model, each): each for each in PREPROCESSINGS.values()}
    for_new = [identity(model, PREPROCESSINGS[version]) for version in versions]
    if second is not None:
        ways = {version: replace(each, embedder=second.name) for version, each in PREPROCESSINGS.items()}
        preprocessings |= {identity(second, each): each for each in ways.values()}
        for_new += [identity(second, ways[version]) for version in versions]
    return Spaces(preprocessings, for_new)
