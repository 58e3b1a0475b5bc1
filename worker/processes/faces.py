"""Faces as fields and bytes of a message."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worker.processes.messages import MessageError
from worker.vision.geometry import Box, Detection
from worker.vision.quality import Quality
from worker.vision.service import Face

_LANDMARKS = (5, 2)


def to_fields(faces: Sequence[Face]) -> tuple[dict[str, Any], bytes]:
    """Return the fields and the bytes: those of each face's landmarks, then of its vector, all float32."""
    fields = [
        {
            "box": face.detection.box,
            "scores": [face.detection.score, face.detection.refined_score],
            "quality": quality_to_list(face.quality),
            "number": face.number,
            "reduction": face.reduction,
        }
        for face in faces
    ]
    data = b"".join(part.tobytes() for face in faces for part in (face.detection.landmarks, face.vector))
    return {"faces": fields}, data


def from_fields(fields: Mapping[str, Any], data: bytes) -> list[Face]:
    """Return the faces. Raises MessageError when they are not as `to_fields` makes them."""
    try:
        entries = fields["faces"]
        if not entries:
            return []
        numbers = np.frombuffer(data, np.float32).reshape(len(entries), -1)
        return [_face(entry, row) for entry, row in zip(entries, numbers, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"faces are malformed: {type(error).__name__}") from None


def quality_to_list(quality: Quality) -> list[float]:
    return [quality.size, quality.sharpness, quality.dark, quality.bright, quality.yaw, quality.pitch]


def quality_from_list(values: Any) -> Quality:
    """Raises MessageError when the values are not as `quality_to_list` makes them."""
    try:
        size, sharpness, dark, bright, yaw, pitch = map(float, values)
    except (TypeError, ValueError):
        raise MessageError("a quality is malformed") from None
    return Quality(size, sharpness, dark, bright, yaw, pitch)


def box_from_list(values: Any) -> Box:
    """Raises MessageError when the values are no box."""
    try:
        x, y, width, height = map(float, values)
    except (TypeError, ValueError):
        raise MessageError("a box is malformed") from None
    return x, y, width, height


def _face(entry: Mapping[str, Any], row: np.ndarray) -> Face:
    score, refined = entry["scores"]
    points = math.prod(_LANDMARKS)
    landmarks, vector = row[:points].reshape(_LANDMARKS), row[points:]
    detection = Detection(
        box_from_list(entry["box"]), landmarks, float(score), None if refined is None else float(refined)
    )
    number, reduction = int(entry["number"]), int(entry["reduction"])
    return Face(detection, vector, quality_from_list(entry["quality"]), number, reduction)
