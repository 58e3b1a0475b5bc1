"""Damaged images through what reads them: the gateway's look at the header, then the worker's decoder."""

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
"""Less than the service allows: a header that was made to claim more would only cost time here."""


def see(data: bytes) -> str:
    """What becomes of an image. Raises whatever nobody expects."""
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
    """Without the lines that libjpeg and libpng write to stderr about each image."""
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def run(count: int, seed: int) -> str:
    """So many of them; a line about them."""
    configure_opencv()
    became: Counter[str] = Counter()
    with _quiet():
        for number in range(count):
            try:
                became[see(image(seeded(seed, number)))] += 1
            except Exception as error:
                error.add_note(f"image {number} of seed {seed}")
                raise
    return f"images: {dict(sorted(became.items()))}"
