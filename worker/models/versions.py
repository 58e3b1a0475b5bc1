"""Versions of what decides an embedding. A leaf: identities and file names need neither OpenCV nor a graph library."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Preprocessing:
    """A way from image bytes to an embedding: every step of worker/vision. Embeddings of different ways are never
    compared (identity.py).

    version: names it, and is never given to another. mirrors: whether an embedding is the mean of those of the face and
    of its mirror image. embedder: the name of the model that makes the embeddings where that is the second embedder of
    a worker; "" for the first, so that a way does not depend on its name.
    """

    version: int
    mirrors: bool = False
    embedder: str = ""


PREPROCESSING_VERSION: Final = 3
"""Version of every step between the image bytes and the embedder: decoding, detection, alignment (worker/vision).
Raised when a change there changes embeddings; embeddings of different versions are never compared (identity.py)."""

PREPROCESSINGS: Final[Mapping[int, Preprocessing]] = MappingProxyType(
    {each.version: each for each in (Preprocessing(PREPROCESSING_VERSION), Preprocessing(4, mirrors=True))}
)
"""All ways that a worker knows, by version (docs/decisions/0028-averaged-landmarks-and-the-mirror.md). A facedb keeps
its way for good, so none is removed."""

PREPARATION_VERSION: Final = 3
"""Version of the prepared graph (preparation/file.py). Cached graphs of another version are not used."""

RESULT_VERSION: Final = 1
"""Version of what a prepared graph computes. Raised when a change in preparation/ changes vectors by more than
rounding, a millionth of their length; embeddings of different versions are never compared (identity.py)."""

INT8_VERSION: Final = 1
"""Version of what an 8-bit graph computes. Raised when a change in preparation/int8.py, preparation/chain.py or
ranges.py changes its vectors; embeddings of different versions are never compared (identity.py)."""
