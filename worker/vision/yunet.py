"""YuNet, the face detector: from pixels to detections.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023; its outputs are decoded in the
prepared graph (worker/models/preparation/faces.py). OpenCV's FaceDetectorYN is the reference in the tests.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from worker.vision.geometry import (
    REFINEMENT_SCALE,
    REFINEMENT_SIDE,
    SAME_WITHIN,
    CropScores,
    Detection,
    Pixels,
    face_crop,
    resize,
    transform,
    transform_back,
)
from worker.vision.session import Images, Session, Tensor

_GRID = 32  # the coarsest stride of its cells: the input's sides must be multiples of it
CANDIDATE_SCORE = 0.5
"""Least score of a candidate. Of faces of 20 pixels the detector gives 95 in 100 as much, but 0.8 to only 82."""

# Cameras and phones have sensors of 4:3 or 3:2, videos and screens 16:9.
_PROPORTIONS = ((4, 3), (3, 2), (16, 9))

_NMS_IOU = 0.3  # OpenCV Zoo's default for this model

# There is a face, by then; its score only has to exceed noise.
_REFINING_SCORE = 0.3

# The width of a face is about half of the side of its crop: anything much smaller or larger is another face.
_REFINED_SIZES = (0.25, 0.9)

# The crops of CropScores, in its order: side in pixels, size of the face relative to an aligned one, whether mirrored.
_CLOSE_CROPS = (
    (128, 0.6 * REFINEMENT_SCALE, False),
    (288, 1.3 * REFINEMENT_SCALE, False),
    (REFINEMENT_SIDE, REFINEMENT_SCALE, True),
)

Floats = npt.NDArray[np.float32]


class YuNet:
    """A detector on a prepared YuNet graph. Thread-safe."""

    def __init__(self, session: Session, min_score: float = CANDIDATE_SCORE) -> None:
        """min_score: least score of a candidate, 0.3 to 1; whether it is a face, its refined score decides."""
        self._session = session
        self._min_score = min_score

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        """Return candidates in pixels of the image, best score first. image: uint8 (H, W, 3) BGR, any size from 1 x 1.

        side: longest side in pixels of the pass; half of it takes a quarter of the time and misses the smallest faces.
        """
        resized, factor = resize(image, side)
        (found,) = self._run([resized], self._min_score)
        return [_scaled(detection, factor) for detection in found]

    def best_scores(self, images: Sequence[Pixels]) -> list[float]:
        """Return the best score in each of several images of one size, 0 to 1, in one inference. It may be less than
        that of any candidate. images: uint8 (H, W, 3) BGR.
        """
        (outputs,) = self._session.run(_together(images)).values()
        return [float(score) for score in outputs[:, -1].max(axis=1)]

    def refine(self, image: Pixels, detections: Sequence[Detection]) -> list[Detection]:
        """Return the same faces with landmarks and refined scores from an upright crop of one size around each, in one
        inference.

        Of several faces on a crop, the one nearest to the given face counts. A face that is not found there keeps its
        landmarks and has a refined score of 0.
        """
        if not detections:
            return []
        crops, matrices = zip(*(face_crop(image, detection.landmarks) for detection in detections), strict=True)
        found = self._run(crops, _REFINING_SCORE)
        return [
            _refined(detection, again, matrix)
            for detection, again, matrix in zip(detections, found, matrices, strict=True)
        ]

    def score_crops(self, image: Pixels, detections: Sequence[Detection]) -> list[CropScores]:
        """Return the scores of each refined face on three more upright crops, all faces in one inference a crop; 0 if
        not found.
        """
        if not detections:
            return []
        scores = [self._scores(image, detections, *crop) for crop in _CLOSE_CROPS]
        return [CropScores(*each) for each in zip(*scores, strict=True)]

    def _scores(
        self, image: Pixels, detections: Sequence[Detection], side: int, enlarged: float, mirrored: bool
    ) -> list[float]:
        crops, middles = [], []
        for detection in detections:
            crop, matrix = face_crop(image, detection.landmarks, side, enlarged)
            middle = transform(detection.landmarks, matrix).mean(axis=0)
            crops.append(np.ascontiguousarray(crop[:, ::-1]) if mirrored else crop)
            middles.append(np.array([side - 1 - middle[0], middle[1]]) if mirrored else middle)
        faces = (
            _same(found, middle, side) for found, middle in zip(self._run(crops, _REFINING_SCORE), middles, strict=True)
        )
        return [0.0 if face is None else face.score for face in faces]

    def _run(self, images: Sequence[Pixels], min_score: float) -> list[list[Detection]]:
        """Return the faces in each of several images of one size, best score first."""
        (outputs,) = self._session.run(_together(images)).values()
        return [_detections(cells, min_score) for cells in outputs]


def _detections(cells: Tensor, min_score: float) -> list[Detection]:
    """Return the faces of one image, best score first. cells: float32 (15, K), x y w h, landmarks and score of each."""
    found = cells[:, cells[-1] >= min_score].T
    found = found[non_maximum_suppression(found[:, :4], found[:, -1], _NMS_IOU)]
    return [
        Detection((x, y, width, height), points, score)
        for (x, y, width, height), points, score in zip(
            found[:, :4].tolist(),
            np.ascontiguousarray(found[:, 4:14]).reshape(-1, 5, 2),
            found[:, -1].tolist(),
            strict=True,
        )
    ]


def _scaled(detection: Detection, factor: Floats) -> Detection:
    """Return the detection with coordinates multiplied by factor, float32 (2,), x and y."""
    x, y, width, height = (np.array(detection.box, dtype=np.float32) * np.tile(factor, 2)).tolist()
    return Detection((x, y, width, height), detection.landmarks * factor, detection.score)


def _refined(detection: Detection, again: Sequence[Detection], matrix: npt.NDArray[np.float64]) -> Detection:
    """Return the detection with landmarks and score of the nearest face on its crop, if that is the same face."""
    same = _same(again, transform(detection.landmarks, matrix).mean(axis=0), REFINEMENT_SIDE)
    if same is None:
        return replace(detection, refined_score=0.0)
    return replace(detection, landmarks=transform_back(same.landmarks, matrix), refined_score=same.score)


def _same(found: Sequence[Detection], middle: npt.ArrayLike, side: int) -> Detection | None:
    """Return the face for which a crop of that side was made: the one nearest to `middle`, (2,), the mean of its
    landmarks. None if that is another face, or nothing was found.
    """
    there = np.asarray(middle).tolist()
    like = [one for one in found if _REFINED_SIZES[0] <= one.box[2] / side <= _REFINED_SIZES[1]]
    nearest = min(like, key=lambda one: math.dist(one.middle, there), default=None)
    if nearest is None or math.dist(nearest.middle, there) > SAME_WITHIN * nearest.box[2]:
        return None
    return nearest


def candidates(faces: Tensor) -> Tensor:
    """Return the detector's output for N images, (N, 15, cells), without cells that no caller looks at: (N, 15, K), in
    the same order, the rest of an image that has fewer than K filled up with cells of score 0. The best cell of each
    image is kept.
    """
    kept = [cells[:, cells[-1] >= min(_REFINING_SCORE, cells[-1].max())] for cells in faces]
    found = np.zeros((len(faces), faces.shape[1], max((cells.shape[1] for cells in kept), default=0)), np.float32)
    for place, cells in zip(found, kept, strict=True):
        place[:, : cells.shape[1]] = cells
    return found


def usual_sizes(side: int) -> list[tuple[int, int]]:
    """Return the sizes, height and width, of the detector's input in a pass at that side over photos of the usual
    proportions, upright and across.
    """
    sizes = {(side, side)}
    for long, short in _PROPORTIONS:
        across = _padded(round(side * short / long)), _padded(side)
        sizes |= {across, across[::-1]}
    return sorted(sizes)


def _padded(size: int) -> int:
    """Return the next multiple of the grid: how far an image is padded, on a CPU and on a GPU alike. The network sees
    black pixels otherwise than a border, so that with more padding it finds other faces.
    """
    return -(-size // _GRID) * _GRID


def _together(images: Sequence[Pixels]) -> Images:
    """Return uint8 (N, H', W', 3) of N images of one size, padded with black."""
    height, width = images[0].shape[:2]
    rows, columns = _padded(height), _padded(width)
    if len(images) == 1 and (rows, columns) == (height, width):
        return images[0][None]
    padded = np.zeros((len(images), rows, columns, 3), dtype=np.uint8)
    for image, place in zip(images, padded, strict=True):
        place[:height, :width] = image
    return padded


def non_maximum_suppression(boxes: Floats, scores: Floats, max_iou: float) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes to keep, best score first: those that overlap no better kept one by more than
    max_iou.

    boxes: (K, 4) x y w h. scores: (K,). Of equal scores the first comes first. Overlap is intersection over union.
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
