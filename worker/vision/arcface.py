"""Embedders of the ArcFace kind (SFace, ArcFace, ...): aligned crops to unit vectors, by the catalogue entry."""

import numpy as np
import numpy.typing as npt

from worker.models.catalog import Embedder
from worker.vision.session import Session


class ArcFace:
    """An embedder over a prepared graph. May be called from several threads."""

    def __init__(self, session: Session, model: Embedder) -> None:
        self._session = session
        self._model = model

    @property
    def size(self) -> int:
        """Side in pixels of the crops it takes."""
        return self._model.input_size

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the embeddings, float32 (N, dimension), each row of length 1.

        crops: uint8 (N, size, size, 3) BGR, N >= 0. Raises ValueError for other shapes, and if a vector is zero or not
        finite: stores would accept it silently.
        """
        side, dimension = self.size, self._model.dimension
        if crops.shape[1:] != (side, side, 3):
            raise ValueError(f"crops of shape {crops.shape} where (N, {side}, {side}, 3) is needed")
        if not len(crops):
            return np.empty((0, dimension), dtype=np.float32)
        (vectors,) = self._session.run(np.ascontiguousarray(crops)).values()
        if vectors.shape != (len(crops), dimension):
            raise ValueError(f"the model gave shape {vectors.shape} where ({len(crops)}, {dimension}) is needed")
        return unit_vectors(vectors)


def unit_vectors(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the vectors, float32 (N, dimension), each divided by its length. Raises ValueError if one is zero or not
    finite.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("the model gave a vector that is zero or not finite")
    return np.asarray(vectors / lengths, dtype=np.float32)
