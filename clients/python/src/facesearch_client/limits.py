"""What the service takes."""

from typing import Final

MAX_IMAGE_BYTES: Final = 2 * 1024 * 1024
"""Largest encoded image in bytes."""

MAX_PIXELS: Final = 50_000_000
"""Most pixels of an image, unless the operator of the service has set another FACESEARCH_MAX_PIXELS."""
