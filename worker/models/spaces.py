"""The embedding spaces of a service: those of its embedder, one for each way of preprocessing that it knows.

A facedb keeps the space of its first face for good: photos are not kept, so its faces cannot be embedded again. So a
worker serves facedbs of all these spaces, and new facedbs get the one that the settings prefer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


def spaces_of(model: Embedder, *, mirror_faces: bool = False) -> Spaces:
    """Return the spaces of a service with this embedder. mirror_faces: as in the settings."""
    preprocessings = {identity(model, each): each for each in PREPROCESSINGS.values()}
    versions = (*MIRRORING, *FOR_NEW) if mirror_faces else FOR_NEW
    return Spaces(preprocessings, [identity(model, PREPROCESSINGS[version]) for version in versions])
