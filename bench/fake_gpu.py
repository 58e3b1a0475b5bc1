"""A GPU that is made up: sessions that take as long as they took on one, and compute next to nothing.

    python bench/fake_gpu.py FD PARENT

An inference process (worker/inference) on it. Batching, processes and the way through the queue can so be developed and
measured on any machine. A photo shows one face, which fills half of it, and the same photo has the same vector.

Calibrated with ONNX Runtime on an NVIDIA H200, images a second:

| | 1 | 8 | 32 | 4 sessions |
| --- | --- | --- | --- | --- |
| SFace | 684 | 4,812 | 6,684 | 7,909, of 32 each |
| YuNet at 320 | 698 | 3,680 | 5,398 | 8,466, of 8 each |
| YuNet at 640 | 499 | 1,149 | | 2,082, of 8 each |

An inference is launched by the CPU, at LAUNCH_MS at least, and takes a fixed time and one for each image. Of that the
GPU is busy for a part, and only one inference is at a time; the rest overlaps with other inferences.
"""

import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.inference.__main__ import main
from worker.inference.plan import Plan
from worker.inference.sessions import OpenSession, Size
from worker.inference.wire import Model
from worker.vision.geometry import CROP_SIZE, REFINEMENT_SCALE, REFINEMENT_SIDE, TEMPLATE
from worker.vision.session import Images, Session, Tensor

LAUNCH_MS: Final = 1.45
"""Milliseconds of the smallest inference: 1.43 with YuNet, 1.46 with SFace."""

SCORE: Final = 0.95
DIMENSION: Final = 128


@dataclass(frozen=True)
class Times:
    """Milliseconds of an inference, in all and for each image. busy_ms: for which each image keeps the GPU busy."""

    fixed_ms: float
    image_ms: float
    busy_ms: float

    def total_ms(self, rows: int) -> float:
        """Return what an inference takes that has the GPU to itself."""
        return max(LAUNCH_MS, self.fixed_ms + self.image_ms * rows)


SFACE: Final = Times(0.62, 0.1302, 0.1264)
YUNET_320: Final = Times(0.92, 0.1564, 0.1181)
YUNET_640: Final = Times(1.30, 0.7084, 0.4803)


class Gpu:
    """One GPU, for any number of sessions."""

    def __init__(self) -> None:
        self._busy = threading.Lock()

    def work(self, times: Times, rows: int) -> None:
        """Take as long as an inference does, without the interpreter's lock."""
        busy_s = times.busy_ms * rows / 1e3
        time.sleep(max(0.0, times.total_ms(rows) / 1e3 - busy_s))
        with self._busy:
            time.sleep(busy_s)


class Detector:
    """A session that finds one upright face in the middle of every image."""

    def __init__(self, gpu: Gpu, size: Size) -> None:
        height, width = size
        self._gpu = gpu
        self._times = _by_pixels(height * width)
        # As in the crop for refinement, whatever the image: the same face is found again there.
        enlarged = REFINEMENT_SCALE * min(size) / REFINEMENT_SIDE
        landmarks = (TEMPLATE - CROP_SIZE / 2) * enlarged + (width / 2, height / 2)
        side = CROP_SIZE * enlarged
        box = (width / 2 - side / 2, height / 2 - side / 2, side, side)
        self._face = np.array([*box, *landmarks.reshape(-1), SCORE], np.float32).reshape(1, 15, 1)

    def run(self, images: Images) -> dict[str, Tensor]:
        self._gpu.work(self._times, len(images))
        return {"faces": self._face.repeat(len(images), axis=0)}


class Embedder:
    """A session whose vectors depend on the pixels of each crop."""

    def __init__(self, gpu: Gpu, size: Size) -> None:
        self._gpu = gpu
        pixels = len(range(0, size[0], 8)) * len(range(0, size[1], 8)) * 3
        self._projection = np.random.default_rng(0).normal(size=(pixels, DIMENSION)).astype(np.float32)

    def run(self, images: Images) -> dict[str, Tensor]:
        self._gpu.work(SFACE, len(images))
        few = images[:, ::8, ::8].reshape(len(images), -1).astype(np.float32) - 127.5
        return {"vectors": few @ self._projection}


def fake_sessions(gpu: Gpu, model: Model) -> OpenSession:
    """Return what opens sessions of a model on the made-up GPU."""

    def opened(size: Size, _rows: int | None) -> Session:
        return Detector(gpu, size) if model is Model.DETECTOR else Embedder(gpu, size)

    return opened


def _by_pixels(pixels: int) -> Times:
    """Return the times of YuNet for images of another size, on the line through those that were measured."""
    part = (pixels - 320**2) / (640**2 - 320**2)
    low, high = YUNET_320, YUNET_640
    fixed, image, busy = (
        max(0.0, getattr(low, name) + part * (getattr(high, name) - getattr(low, name)))
        for name in ("fixed_ms", "image_ms", "busy_ms")
    )
    return Times(fixed, image, busy)


if __name__ == "__main__":
    THE_GPU = Gpu()

    def openers(_plan: Plan, model: Model) -> OpenSession:
        return fake_sessions(THE_GPU, model)

    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), openers)
