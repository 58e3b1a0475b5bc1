"""Quality of a face: whether it is shown well enough to be recognised. Pure functions.

docs/decisions/0015-quality.md has the measurements behind each threshold, and why occlusion is not judged.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from shared.contract import Flaw
from worker.vision.geometry import TEMPLATE, Detection, Pixels, Points

Mode = Literal["off", "standard", "strict"]

SIDE: Final = 56
"""Side in pixels to which the aligned face is reduced: recognition does not need finer detail."""

INNER: Final = (slice(16, 52), slice(12, 44))
"""Rows and columns of that crop from above the eyes to the chin: no hair, no background, no border of the image."""

FINE: Final = (1.0, 2.0)
COARSE: Final = (2.0, 4.0)
"""Sigmas in pixels of that crop of the two Gaussians between which detail is fine, and coarse."""

_LEAST_DETAIL: Final = 0.05
"""Grey levels added to the coarse detail, so that rounding does not make a flat surface sharp."""

BLACK: Final = 8
"""Grey levels up to this one count as black: compression leaves nothing of a face there."""

WHITE: Final = 250
"""Grey levels from this one on count as white."""

NEUTRAL_PITCH: Final = 8.0
"""Pitch in degrees of the median face of LFW before correction: its mouth is nearer to its eyes than TEMPLATE's."""

# Depth in pixels of TEMPLATE (about 1.8 mm each) of nose tip and mouth in front of the eyes.
_DEPTHS: Final = (0, 0, 22, 6, 6)


@dataclass(frozen=True)
class Quality:
    """Measured quality of a face.

    size: side in pixels in the photo as sent, the square root of its box's area. sharpness: fine detail relative to
    coarse detail, independent of contrast; about 0.8, blurred 0.4. dark, bright: parts of the face, 0 to 1, that are
    black, and white. yaw, pitch: degrees, from facing the camera to the right and down of the image; roll does not
    matter.
    """

    size: float
    sharpness: float
    dark: float
    bright: float
    yaw: float
    pitch: float


@dataclass(frozen=True)
class Gate:
    """Thresholds that a face must meet. Angles in degrees, to either side."""

    least_size: float
    least_sharpness: float
    most_dark: float
    most_bright: float
    most_yaw: float
    most_pitch: float

    def is_too_small(self, size: float) -> bool:
        """Return whether a face of that `Quality.size` is too small, whatever else it is."""
        return size < self.least_size

    def flaw(self, quality: Quality) -> Flaw | None:
        """Return the first flaw of a face, None if it passes: a face that is too small or too dark is not called
        blurred.
        """
        wrong = {
            Flaw.SIZE: self.is_too_small(quality.size),
            Flaw.DARK: quality.dark > self.most_dark,
            Flaw.BRIGHT: quality.bright > self.most_bright,
            Flaw.BLUR: quality.sharpness < self.least_sharpness,
            Flaw.POSE: abs(quality.yaw) > self.most_yaw or abs(quality.pitch) > self.most_pitch,
        }
        return next((flaw for flaw, is_wrong in wrong.items() if is_wrong), None)


ANY: Final = 180.0
"""An angle that no face exceeds."""

STANDARD: Final = Gate(
    # At 24 pixels, as a JPEG of quality 80, other photos of the person find it 6 times out of 10 at confidence 95, at
    # 20 pixels 4 times, at quality 50 once.
    least_size=22,
    # Between a face blurred with a sigma of a twentieth of its side (0.47; other photos find it once in eight) and by a
    # box of a quarter of it (0.40; never, but one in fourteen such impostor pairs reaches 95).
    least_sharpness=0.44,
    # Faces that pass are found. Of LFW's photos the darkest has 0.21, the brightest 0.13.
    most_dark=0.8,
    most_bright=0.85,
    # Other photos find faces turned by 50 to 70 degrees as well as any: no measurement supports a limit.
    most_yaw=ANY,
    most_pitch=ANY,
)
"""Refuses faces that can only do harm."""

STRICT: Final = Gate(
    # From here on other photos find 9 of 10 at confidence 95, at JPEG qualities of 80 and 50 alike; of faces of 32
    # pixels 7 of 10 at 50.
    least_size=48,
    # A sigma of a thirtieth of the side. Just below it one in four stays below confidence 80, just above it one in
    # eight. No photo of LFW is less sharp.
    least_sharpness=0.55,
    # One in eight stays below confidence 80 beyond it.
    most_dark=0.3,
    # One in nine beyond 0.4, where such faces begin to be like each other.
    most_bright=0.3,
    # Faces turned by 35 to 50 degrees are found as often as others, and are no more like strangers (68 photos of LFW);
    # of profiles, a third stay below confidence 80. Nothing was measured in between, nor beyond 20 degrees up or down.
    most_yaw=50,
    most_pitch=20,
)
"""Gate for portraits that are taken for enrolment and can be taken again: refuses faces that are found less often."""

GATES: Final[Mapping[Mode, Gate | None]] = MappingProxyType({"off": None, "standard": STANDARD, "strict": STRICT})


@dataclass(frozen=True)
class Gates:
    """The gates for faces to add and to search for; None lets every face pass."""

    add: Gate | None
    search: Gate | None


NO_GATES: Final = Gates(None, None)


def size(detection: Detection, reduction: int) -> float:
    """Return the `Quality.size` of a face. reduction: factor by which the image was reduced when it was decoded."""
    return math.sqrt(detection.area) * reduction


def measure(detection: Detection, crop: Pixels, reduction: int) -> Quality:
    """Return the quality of a face. crop: the detection's aligned face. reduction: as for `size`."""
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    dark, bright = _exposure(grey)
    yaw, pitch = _pose(detection.landmarks)
    return Quality(size(detection, reduction), _sharpness(grey), dark, bright, yaw, pitch)


def _sharpness(grey: npt.NDArray[np.uint8]) -> float:
    pixels = grey.astype(np.float32)
    blurred = {sigma: cv2.GaussianBlur(pixels, (0, 0), sigma)[INNER] for sigma in {*FINE, *COARSE}}
    fine, coarse = (float(np.std(blurred[low] - blurred[high])) for low, high in (FINE, COARSE))
    return fine / (coarse + _LEAST_DETAIL)


def _exposure(grey: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Return the parts of the inner face that are black and white."""
    inner = grey[INNER]
    return float((inner <= BLACK).mean()), float((inner >= WHITE).mean())


def _solid() -> npt.NDArray[np.float64]:
    """Return (3, 5), which multiplied with five centred points (5, 2) gives the linear map (3, 2) that projects a head
    to them, seen from far: least squares in closed form.
    """
    head = np.column_stack([TEMPLATE, np.negative(_DEPTHS)]).astype(np.float64)
    return np.asarray(np.linalg.pinv(head - head.mean(axis=0)))


_SOLID: Final = _solid()


def _pose(landmarks: Points) -> tuple[float, float]:
    """Return yaw and pitch in degrees of a head with those landmarks. Exact for a head like TEMPLATE with _DEPTHS."""
    points = np.asarray(landmarks, np.float64)
    # The two rows of a rotation nearest to the map, which also scales and, heads being different, distorts.
    left, _, right = np.linalg.svd((_SOLID @ (points - points.mean(axis=0))).T, full_matrices=False)
    # The third row, which a roll leaves unchanged: pitch turns about the line of the eyes, yaw about the vertical.
    x, y, z = np.cross(*(left @ right)).tolist()
    return math.degrees(math.atan2(x, math.hypot(y, z))), math.degrees(math.atan2(y, z)) - NEUTRAL_PITCH
