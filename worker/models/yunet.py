"""YuNet, the face detector: from an image to boxes, landmarks and scores.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023; decoding as in OpenCV's
modules/objdetect/src/face_detect.cpp, vectorised. OpenCV's FaceDetectorYN is the reference in the tests.
"""

import cv2
import numpy as np
import numpy.typing as npt

from worker.faces.geometry import Detection, Image
from worker.models.session import Session, Tensor

SIDE = 640
"""Longest side in pixels at which faces are looked for. One for all, since scores and landmarks depend on it."""

STRIDES = (8, 16, 32)
_GRID = 32  # the coarsest stride: the input's sides must be multiples of it
_NMS_IOU = 0.3  # OpenCV Zoo's default for this model

Floats = npt.NDArray[np.float32]


class YuNet:
    """A detector over a prepared YuNet graph. May be called from several threads."""

    def __init__(self, session: Session, min_score: float, side: int = SIDE) -> None:
        """min_score: least score, (0, 1), of what counts as a face. side: longest side in pixels to work at."""
        self._session = session
        self._min_score = min_score
        self._side = side

    def detect(self, image: Image) -> list[Detection]:
        """Faces in pixels of the image, best score first. image: uint8 (H, W, 3) BGR, any size from 1 x 1."""
        resized = resize(image, self._side)
        outputs = self._session.run(_blob(resized))
        columns = -(-resized.shape[1] // _GRID) * _GRID
        boxes, landmarks, scores = decode(outputs, columns, self._min_score)
        keep = non_maximum_suppression(boxes, scores, _NMS_IOU)
        # The sides are rounded to whole pixels each for itself, so each has its own factor.
        factor = np.array([image.shape[1] / resized.shape[1], image.shape[0] / resized.shape[0]], dtype=np.float32)
        boxes = boxes[keep] * np.tile(factor, 2)
        landmarks = landmarks[keep] * factor
        return [
            Detection(box=(box[0], box[1], box[2], box[3]), landmarks=points, score=score)
            for box, points, score in zip(boxes.tolist(), landmarks, scores[keep].tolist(), strict=True)
        ]


def resize(image: Image, side: int) -> Image:
    """The image with its longest side made `side`, the other in proportion but at least 1."""
    height, width = image.shape[:2]
    longest = max(height, width)
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    if size == (width, height):
        return image
    # Area averaging has no aliasing when it shrinks; when it enlarges it repeats pixels.
    how = cv2.INTER_AREA if longest > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def _blob(image: Image) -> Tensor:
    """float32 (1, 3, H', W'), BGR in 0..255 as the model was trained, black up to the next multiples of 32."""
    height, width = image.shape[:2]
    padded = np.zeros((1, 3, -(-height // _GRID) * _GRID, -(-width // _GRID) * _GRID), dtype=np.float32)
    # Planes first, then floats: four times as fast as one transposed assignment.
    for plane, channel in zip(padded[0], cv2.split(image), strict=True):
        plane[:height, :width] = channel
    return padded


def decode(outputs: dict[str, Tensor], width: int, min_score: float) -> tuple[Floats, Floats, Floats]:
    """Candidates of at least min_score, not yet rid of doubles: boxes (K, 4) x y w h, landmarks (K, 5, 2), scores (K,).

    outputs: cls_s, obj_s (1, N, 1) in [0, 1], bbox_s (1, N, 4) and kps_s (1, N, 10) for each stride s, N cells row by
    row. width: of the network's input in pixels. The score is the geometric mean of class and objectness.
    """
    boxes, landmarks, scores = [], [], []
    for stride in STRIDES:
        score = np.sqrt(outputs[f"cls_{stride}"].clip(0, 1) * outputs[f"obj_{stride}"].clip(0, 1)).reshape(-1)
        (cells,) = np.nonzero(score >= min_score)
        corner = np.stack([cells % (width // stride), cells // (width // stride)], axis=1).astype(np.float32)
        offsets = outputs[f"bbox_{stride}"].reshape(-1, 4)[cells]
        size = np.exp(offsets[:, 2:]) * stride
        boxes.append(np.concatenate([(corner + offsets[:, :2]) * stride - size / 2, size], axis=1))
        points = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[cells]
        landmarks.append((points + corner[:, None]) * stride)
        scores.append(score[cells])
    return np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)


def non_maximum_suppression(boxes: Floats, scores: Floats, max_iou: float) -> npt.NDArray[np.intp]:
    """Indices of the boxes to keep, best score first: each one that overlaps no better kept one by more than max_iou.

    boxes: (K, 4) x y w h. scores: (K,). Equal scores: the first in order. Overlap is intersection over union.
    """
    left, right = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    area = boxes[:, 2] * boxes[:, 3]
    rest = np.argsort(-scores, kind="stable")
    keep = []
    while rest.size:
        best, rest = rest[0], rest[1:]
        keep.append(best)
        sides = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        shared = sides.clip(0).prod(axis=1)
        rest = rest[shared <= max_iou * (area[best] + area[rest] - shared)]
    return np.array(keep, dtype=np.intp)
