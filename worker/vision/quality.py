"""Whether a face is shown well enough to be told apart from others. Pure functions of numbers and pixels.

docs/decisions/0015-quality.md has what each threshold was measured by, and why occlusion is not judged.
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
"""Side in pixels to which the aligned face is brought: what is lost there, search does without."""

INNER: Final = (slice(16, 52), slice(12, 44))
"""Rows and columns, there, from above the eyes to the chin: no hair, no background, no border of the image."""

FINE: Final = (1.0, 2.0)
COARSE: Final = (2.0, 4.0)
"""Sigmas in pixels, there, of the two Gaussians between which detail is fine, and coarse."""

_LEAST_DETAIL: Final = 0.05
"""Grey levels added to the coarse detail, so that a flat surface is not sharp by rounding."""

BLACK: Final = 8
"""Grey levels up to this one are black: what compression leaves of them says nothing of a face."""

WHITE: Final = 250
"""Grey levels from this one on are white."""

NEUTRAL_PITCH: Final = 8.0
"""What the median face of LFW would have otherwise, in degrees: its mouth is nearer to its eyes than TEMPLATE's."""

# How far towards the viewer, in pixels of TEMPLATE (about 1.8 mm each), the nose tip and the mouth are before the eyes.
_DEPTHS: Final = (0, 0, 22, 6, 6)


@dataclass(frozen=True)
class Quality:
    """How a face is shown.

    size: side in pixels in the photo as it was sent, the square root of its box's area. sharpness: fine detail by
    coarse detail, whatever the contrast; about 0.8, blurred 0.4. dark, bright: parts of the face, 0 to 1, that are
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
    """What a face must have. Angles in degrees, to either side."""

    least_size: float
    least_sharpness: float
    most_dark: float
    most_bright: float
    most_yaw: float
    most_pitch: float

    def is_too_small(self, size: float) -> bool:
        """Whether a face of that `Quality.size` has no need to be looked at: its flaw is its size."""
        return size < self.least_size

    def flaw(self, quality: Quality) -> Flaw | None:
        """The first thing that is wrong, None for a face that may pass: what is too small or too dark is not called
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
    # Between a face that was blurred with a sigma of a twentieth of its side (0.47; others find it once out of eight)
    # and by a box of a quarter of it (0.40; never, but every fourteenth pair of such strangers is alike at 95).
    least_sharpness=0.44,
    # What still passes is found. Of LFW's photos the darkest has 0.21, the brightest 0.13.
    most_dark=0.8,
    most_bright=0.85,
    # Other photos find faces that are turned by 50 to 70 degrees as well as any: nothing that was measured says no.
    most_yaw=ANY,
    most_pitch=ANY,
)
"""Refuses what can only do harm."""

STRICT: Final = Gate(
    # From here on others find 9 of 10, at JPEG qualities of 80 and 50 alike; of faces of 32 pixels 7 of 10 at 50.
    least_size=48,
    # A sigma of a thirtieth of the side: found by itself 24 times out of 25. No photo of LFW is less sharp.
    least_sharpness=0.55,
    most_dark=0.3,
    most_bright=0.3,
    # Portraits to be enrolled look into the camera: 1 in 25 of LFW's photos is turned further.
    most_yaw=35,
    most_pitch=20,
)
"""For portraits that are taken to be enrolled, and can be taken again."""

GATES: Final[Mapping[Mode, Gate | None]] = MappingProxyType({"off": None, "standard": STANDARD, "strict": STRICT})


@dataclass(frozen=True)
class Gates:
    """What judges the faces to add, and those to search for; None: nothing does."""

    add: Gate | None
    search: Gate | None


NO_GATES: Final = Gates(None, None)


def size(detection: Detection, reduction: int) -> float:
    """`Quality.size` of a face. reduction: how many times smaller the image was decoded than it was sent."""
    return math.sqrt(detection.area) * reduction


def measure(detection: Detection, crop: Pixels, reduction: int) -> Quality:
    """How the face is shown. crop: as `align` makes it of the detection's landmarks. reduction: as of `size`."""
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
    """The parts of the inner face that are black and white."""
    inner = grey[INNER]
    return float((inner <= BLACK).mean()), float((inner >= WHITE).mean())


def _solid() -> npt.NDArray[np.float64]:
    """(3, 5): what five points (5, 2) around their middle are multiplied with for the linear map (3, 2) that brings a
    head there, seen from far: least squares, in a closed form.
    """
    head = np.column_stack([TEMPLATE, np.negative(_DEPTHS)]).astype(np.float64)
    return np.asarray(np.linalg.pinv(head - head.mean(axis=0)))


_SOLID: Final = _solid()


def _pose(landmarks: Points) -> tuple[float, float]:
    """Yaw and pitch in degrees of a head whose points are seen there. Exact for a head like TEMPLATE with _DEPTHS."""
    points = np.asarray(landmarks, np.float64)
    # The nearest two rows of a rotation to the map, which also scales and, heads being different, distorts.
    left, _, right = np.linalg.svd((_SOLID @ (points - points.mean(axis=0))).T, full_matrices=False)
    # The third row, which a roll leaves alone: pitch is a turn about the line of the eyes, yaw one about the upright.
    x, y, z = np.cross(*(left @ right)).tolist()
    return math.degrees(math.atan2(x, math.hypot(y, z))), math.degrees(math.atan2(y, z)) - NEUTRAL_PITCH
