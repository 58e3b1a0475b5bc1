"""Hostile inputs, each with the answer it must get and the reason: for tests, fuzzing and bench/hostile_input.py.

Images are in hostile_images.py, bodies in hostile_bodies.py. Each is made when asked for; all are made the same again.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """One input. answer: a contract status, or `DECODED` for an image that is taken (if it shows a face is another
    matter), or `PARSED` for a body that is.
    """

    name: str
    make: Callable[[], bytes]
    answer: str
    why: str
    content_type: str = ""

    def __str__(self) -> str:
        return self.name


DECODED = "decoded"
PARSED = "parsed"
INVALID_FORMAT = "IMAGE_INVALID_FORMAT"
INVALID_SIZE = "IMAGE_INVALID_SIZE"
INVALID_REQUEST = "INVALID_REQUEST"
