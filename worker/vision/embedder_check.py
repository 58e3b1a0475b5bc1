"""A check, without photos, that an operator's embedder works as described."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.errors import OperatorError
from worker.models.catalog import Embedder
from worker.models.preparation.file import prepare_file
from worker.models.preparation.signature import read_signature
from worker.vision.arcface import ArcFace
from worker.vision.session import Images, OnnxSession, Session, Tensor, open_session

CROPS: Final = 4

SAME: Final = 0.999
"""Least cosine of two vectors that should be equal but for rounding."""

ALIKE: Final = 0.9999
"""Cosine from which on vectors of unrelated images count as one and the same."""


def check_embedder(file: Path, model: Embedder) -> tuple[Embedder, list[str]]:
    """Return the model with the dimension of its file, and a line for each check that passed.

    model: as described, but for the dimension. Raises OperatorError with the flaw.
    """
    side = read_signature(file).side
    if side not in {None, model.input_size}:
        raise OperatorError(
            f"{file} takes crops of {side} pixels where {model.input_size} are described; say --size {side}"
        )
    with TemporaryDirectory(prefix="facesearch-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        try:
            prepare_file(model, file, prepared)
        except OperatorError:
            raise
        except Exception as error:  # a graph can be wrong in any way
            raise OperatorError(f"cannot prepare {file}: {_short(error)}") from error
        session = open_session(prepared)
        crops = _crops(model.input_size)
        model = replace(model, dimension=_dimension(file, session, crops))
        passed = [f"one image (N, 3, {model.input_size}, {model.input_size}) in, one vector (N, {model.dimension}) out"]
        together = _embedded(file, session, model, crops)
        passed.append("vectors are finite and not zero")
        passed += _compare_batches(file, session, model, crops, together)
        passed += _compare_with_original(file, model, crops, together)
    return model, passed


def _crops(side: int) -> npt.NDArray[np.uint8]:
    """Return uint8 (CROPS, side, side, 3): unrelated noise of several grain sizes."""
    rng = np.random.default_rng(0)
    crops = []
    for coarse in range(CROPS):
        cells = max(2, side >> coarse)
        places = np.arange(side) * cells // side
        crops.append(rng.integers(0, 256, (cells, cells, 3), np.uint8)[places][:, places])
    return np.stack(crops)


def _dimension(file: Path, session: Session, crops: npt.NDArray[np.uint8]) -> int:
    try:
        (vector,) = session.run(crops[:1]).values()
    except Exception as error:  # ONNX Runtime's errors have no other common base
        raise OperatorError(
            f"{file} does not run on crops of {crops.shape[1]} pixels: {_short(error)}; --size says another size"
        ) from error
    if vector.ndim != 2 or len(vector) != 1 or vector.shape[1] < 2:
        raise OperatorError(f"{file} gives shape {vector.shape} for one face where (1, dimension) is needed")
    return int(vector.shape[1])


def _embedded(file: Path, session: Session, model: Embedder, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    try:
        return ArcFace(session, model).embed(crops)
    except Exception as error:  # ONNX Runtime's, and those of ArcFace
        raise OperatorError(f"{file} does not work for {len(crops)} faces at once: {_short(error)}") from error


def _compare_batches(
    file: Path,
    session: Session,
    model: Embedder,
    crops: npt.NDArray[np.uint8],
    together: npt.NDArray[np.float32],
) -> list[str]:
    alone = np.concatenate([_embedded(file, session, model, crops[i : i + 1]) for i in range(len(crops))])
    if float((alone * together).sum(axis=1).min()) < SAME:
        raise OperatorError(f"{file} gives a face another vector when others are embedded with it")
    alike = together @ together.T
    if float(alike[~np.eye(len(crops), dtype=bool)].min()) > ALIKE:
        raise OperatorError(f"{file} gives the same vector for whatever it is shown; check --mean, --scale, --channels")
    return [f"{len(crops)} at once give what they give one by one", "other images give other vectors"]


def _compare_with_original(
    file: Path, model: Embedder, crops: npt.NDArray[np.uint8], prepared: npt.NDArray[np.float32]
) -> list[str]:
    try:
        session = _Original(open_session(file), model)
    except (OperatorError, ValueError):  # ValueError: the file lists weights as inputs
        return ["not compared with the file itself, which ONNX Runtime does not run as it is"]
    alone = np.concatenate([_embedded(file, session, model, crops[i : i + 1]) for i in range(len(crops))])
    least = float((alone * prepared).sum(axis=1).min())
    if least < SAME:
        raise OperatorError(
            f"what was prepared of {file} gives other vectors than the file itself (cosine {least:.3f})"
        )
    return ["the prepared graph gives what the file gives"]


class _Original:
    """A Session on the file itself: it takes pixels, and gives the file what it declares."""

    def __init__(self, session: OnnxSession, model: Embedder) -> None:
        self._session = session
        self._model = model

    def run(self, images: Images) -> dict[str, Tensor]:
        channels = images[..., ::-1] if self._model.channels == "RGB" else images
        floats = np.ascontiguousarray(channels.transpose(0, 3, 1, 2), dtype=np.float32)
        return self._session.run((floats - np.float32(self._model.mean)) / np.float32(self._model.scale))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
