"""A first run of all that decodes, detects and embeds: what libraries load on first use is loaded then."""

from contextlib import suppress
from typing import Final

import cv2
import numpy as np

from shared.errors import FaceNotDetected
from worker.vision.service import Embedder, FaceService

SIDE: Final = 64


def warm_up(service: FaceService, embedder: Embedder) -> None:
    """Run the service on a small image of each format, and the embedder on a crop. All of them show noise."""
    noise = np.random.default_rng(0).integers(0, 256, (1, embedder.size, embedder.size, 3), np.uint8)
    for suffix in (".jpg", ".png", ".bmp"):
        _, encoded = cv2.imencode(suffix, noise[0, :SIDE, :SIDE])
        with suppress(FaceNotDetected):
            service.embed_most_prominent(encoded.tobytes())
    embedder.embed(noise)
