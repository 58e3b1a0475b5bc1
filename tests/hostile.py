"""Hostile inputs, each with the expected answer and the reason: for tests, fuzzing and bench/hostile_input.py.

Images are in hostile_images.py, bodies in hostile_bodies.py. They are made on request and are the same each time.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """One input. answer: a contract status, `DECODED` for an image that is accepted whether or not it shows a face, or
    `PARSED` for a body that is accepted.
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
