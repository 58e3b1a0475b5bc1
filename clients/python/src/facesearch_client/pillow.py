"""What needs Pillow: encoding its images, and scaling pictures down to what the service takes."""

import io
import math
from typing import Any, Final

from PIL import Image, ImageOps, UnidentifiedImageError

from facesearch_client.errors import ImageUnreadable
from facesearch_client.limits import MAX_IMAGE_BYTES, MAX_PIXELS

MAX_SIDE: Final = 65_500
"""Most pixels of a side that libjpeg writes (JPEG_MAX_DIMENSION)."""

QUALITY: Final = 90
"""Quality of JPEGs. docs/decisions of the project has what it changes in similarities."""

_TAKEN: Final = frozenset({"JPEG", "MPO", "PNG", "BMP"})
"""Formats that the service takes, by Pillow's names; a photo of several pictures (MPO) is a JPEG for it."""


def shrunk(data: bytes) -> bytes:
    """Return an encoded image unchanged if the service takes it, or if Pillow does not know what it is; otherwise a
    JPEG of the same picture that the service takes: upright, at most as large as before, and without metadata.

    Raises ImageUnreadable if it must be decoded and cannot be.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_taken = image.format in _TAKEN and image.width * image.height <= MAX_PIXELS
            return data if is_taken and len(data) <= MAX_IMAGE_BYTES else fitting_jpeg(image)
    except UnidentifiedImageError:
        return data
    except Image.DecompressionBombError:
        raise ImageUnreadable("the image has more pixels than Pillow decodes") from None


def fitting_jpeg(image: Image.Image) -> bytes:
    """Return a JPEG of an image, upright, with as many of its pixels as the service takes. Raises ImageUnreadable if
    it cannot be decoded.
    """
    picture = _upright(image)
    scale = min(1.0, math.sqrt(MAX_PIXELS / (picture.width * picture.height)), MAX_SIDE / max(picture.size))
    while True:
        data = _encoded(_scaled(picture, scale))
        if len(data) <= MAX_IMAGE_BYTES:
            return data
        # Bytes go with the pixels, a little less than in proportion.
        scale *= 0.97 * math.sqrt(MAX_IMAGE_BYTES / len(data))


def jpeg(image: Image.Image) -> bytes:
    """Return a JPEG of an image, upright. Raises ImageUnreadable if it cannot be decoded, or has sides that no JPEG
    has.
    """
    if max(image.size) > MAX_SIDE:
        raise ImageUnreadable(f"no JPEG has sides of more than {MAX_SIDE} pixels; shrink=True scales it down")
    return _encoded(_upright(image))


def from_rgb(pixels: Any) -> Image.Image:
    """Return an image of a NumPy array, uint8, height x width, or height x width x 3 in RGB."""
    height, width = pixels.shape[:2]
    return Image.frombytes("RGB" if len(pixels.shape) == 3 else "L", (width, height), pixels.tobytes())


def _upright(image: Image.Image) -> Image.Image:
    """Return an image in RGB or grey, turned by its EXIF orientation."""
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            # Pillow would cut 16 bits off at 255.
            upright = upright.point(lambda value: value / 256).convert("L")
        return upright if upright.mode in ("RGB", "L") else upright.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageUnreadable(f"the image cannot be decoded: {error}") from None


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    """Return a picture of at most the same size. scale: in (0, 1]."""
    if scale >= 1:
        return picture
    size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
