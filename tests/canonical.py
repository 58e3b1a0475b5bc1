"""Results of OpenCV's own FaceDetectorYN and FaceRecognizerSF on the packaged portraits, without any code of the
product.

They are pinned in a file, so that a release of OpenCV or ONNX Runtime, or a change of the product, that alters results
is noticed even if it alters both sides alike. `PYTHONPATH=.:tests .venv/bin/python tests/models/canonical` writes the
file.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from portraits import astronaut_png, hopper_jpeg, pixels, scale, side_by_side
from shared.settings import Settings
from worker.models import files
from worker.models.catalog import MODELS, Model, WheelSource

FILE: Final = Path(__file__).parent / "models/canonical/portraits.json"
SIDE: Final = 640
"""Longest side in pixels at which OpenCV detects faces here: that of the full pass in worker/vision/service.py."""
MIN_SCORE: Final = 0.8
DIGITS: Final = 6
_TASKS: Final = ("detection", "embedding")

# The product averages faces of more than twice the size of a crop, which OpenCV does not do: only the last is so large.
_HOPPER: Final = scale(hopper_jpeg(), 0.8)
PICTURES: Final = {
    "astronaut": astronaut_png(),
    "hopper": _HOPPER,
    "both": side_by_side(_HOPPER, astronaut_png()),
    "large": hopper_jpeg(),
}


def packaged_models() -> list[Model]:
    """Return the models that come from a package index, the only source in a closed network."""
    return [model for model in MODELS if any(isinstance(source, WheelSource) for source in model.sources)]


@cache
def pinned() -> dict[str, Any]:
    """Return the pinned results. detections: by the detector's file and the picture, rows of x, y, width, height, the
    five landmarks and the score, in pixels of the picture, best score first. vectors: by the embedder's file and the
    picture, of length 1 and in the order of the first detector's rows. mirrored: likewise, means of the vectors of each
    crop and of its mirror image.
    """
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def reference() -> dict[str, Any]:
    """Return the results of the installed OpenCV, in the form of `pinned`."""
    folder = Settings().models_dir
    paths = {
        task: {m.file: files.original(m, folder, print) for m in packaged_models() if m.task == task} for task in _TASKS
    }
    detections = {
        file: {name: detect(path, pixels(data)) for name, data in PICTURES.items()}
        for file, path in paths["detection"].items()
    }
    rows = next(iter(detections.values()))
    vectors = {
        file: {name: embed(path, pixels(data), rows[name]) for name, data in PICTURES.items()}
        for file, path in paths["embedding"].items()
    }
    mirrored = {
        file: {name: embed_mirrored(path, pixels(data), rows[name]) for name, data in PICTURES.items()}
        for file, path in paths["embedding"].items()
    }
    return {"opencv": cv2.__version__, "detections": detections, "vectors": vectors, "mirrored": mirrored}


def detect(path: Path, image: np.ndarray) -> list[list[float]]:
    height, width = image.shape[:2]
    size = (round(width * SIDE / max(width, height)), round(height * SIDE / max(width, height)))
    detector = cv2.FaceDetectorYN.create(str(path), "", size, MIN_SCORE, nms_threshold=0.3)
    rows = detector.detect(cv2.resize(image, size))[1]
    factor = np.append(np.tile([width / size[0], height / size[1]], 7), 1)
    return np.round(rows * factor, DIGITS).tolist()


def embed(path: Path, image: np.ndarray, rows: list[list[float]]) -> list[list[float]]:
    recognizer, crops = aligned(path, image, rows)
    return np.round(features(recognizer, crops), DIGITS).tolist()


def embed_mirrored(path: Path, image: np.ndarray, rows: list[list[float]]) -> list[list[float]]:
    recognizer, crops = aligned(path, image, rows)
    both = features(recognizer, crops) + features(recognizer, [cv2.flip(crop, 1) for crop in crops])
    return np.round(both / np.linalg.norm(both, axis=1, keepdims=True), DIGITS).tolist()


def aligned(path: Path, image: np.ndarray, rows: list[list[float]]) -> tuple[cv2.FaceRecognizerSF, list[np.ndarray]]:
    recognizer = cv2.FaceRecognizerSF.create(str(path), "")
    return recognizer, [recognizer.alignCrop(image, np.array(row, np.float32)) for row in rows]


def features(recognizer: cv2.FaceRecognizerSF, crops: list[np.ndarray]) -> np.ndarray:
    """Return float64 (N, dimension), each row of length 1."""
    found = np.concatenate([recognizer.feature(crop) for crop in crops]).astype(np.float64)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))
