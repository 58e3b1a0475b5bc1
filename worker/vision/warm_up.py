"""A first run of all that decodes, detects and embeds: what libraries load on first use is loaded then."""

from contextlib import suppress
from typing import Final

import cv2
import numpy as np

from shared.errors import FaceNotDetected
from worker.vision.service import FaceService

SIDE: Final = 64


def warm_up(service: FaceService) -> None:
    """Run the service on a small image of each format, and its embedder on a crop. All of them show noise."""
    side = service.embedder.size
    noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    for suffix in (".jpg", ".png", ".bmp"):
        _, encoded = cv2.imencode(suffix, noise[0, :SIDE, :SIDE])
        with suppress(FaceNotDetected):
            service.embed_most_prominent(encoded.tobytes())
    service.embedder.embed(noise)
