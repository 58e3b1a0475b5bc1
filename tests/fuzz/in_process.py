"""Damaged images for the gateway's header check and then the worker's decoder."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz.mutations import image, seeded
from gateway.body.encoded_images import check
from shared.errors import ImageTooLarge, ImageUnreadable
from worker.vision.decode import configure_opencv, decode

MAX_PIXELS = 4_000_000
"""Less than the service allows, since headers that claim more would only cost time here."""


def classify(data: bytes) -> str:
    """Return whether an image is decoded, refused by the gateway or refused by the worker. Raises any other error."""
    try:
        header = check(data, MAX_PIXELS)
    except (ImageUnreadable, ImageTooLarge):
        return "refused by the gateway"
    try:
        pixels = decode(data)
    except ImageUnreadable:
        return "refused by the worker"
    assert pixels.dtype.name == "uint8"
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert 1 <= pixels.shape[0] * pixels.shape[1] <= header.width * header.height, "more pixels than were allowed"
    return "decoded"


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what libjpeg and libpng write to stderr."""
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def run(count: int, seed: int) -> str:
    """Process that many images and return a summary line."""
    configure_opencv()
    became: Counter[str] = Counter()
    with _quiet():
        for number in range(count):
            try:
                became[classify(image(seeded(seed, number)))] += 1
            except Exception as error:
                error.add_note(f"image {number} of seed {seed}")
                raise
    return f"images: {dict(sorted(became.items()))}"
