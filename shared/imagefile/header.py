"""Kind and size of an image, read from its header. Gateway and worker read it here, so both see the same frame."""

from dataclasses import dataclass
from typing import Final, Literal

from shared.errors import ImageUnreadable
from shared.imagefile import bmp, jpeg, png

DEFAULT_MAX_PIXELS: Final = 50_000_000
"""Default of FACESEARCH_MAX_PIXELS."""

Kind = Literal["jpeg", "png", "bmp"]

SIGNATURES: Final[dict[Kind, bytes]] = {"jpeg": jpeg.SIGNATURE, "png": png.SIGNATURE, "bmp": bmp.SIGNATURE}

SIGNATURE_BYTES: Final = max(map(len, SIGNATURES.values()))

_PREFIXES: Final = (jpeg.SIGNATURE[:2], png.SIGNATURE[:4], bmp.SIGNATURE)


@dataclass(frozen=True)
class Header:
    """Kind and size of an image. width, height: pixels as stored, before EXIF orientation."""

    kind: Kind
    width: int
    height: int


def kind_of(data: bytes) -> Kind | None:
    """Return the kind of image that the first SIGNATURE_BYTES name, None for any other content."""
    return next((kind for kind, signature in SIGNATURES.items() if data.startswith(signature)), None)


def resembles_image(data: bytes) -> bool:
    """Return whether the data begins as a JPEG, PNG or BMP does, whole signature or not."""
    return data.startswith(_PREFIXES)


def read_header(data: bytes, max_pixels: int) -> Header:
    """Return kind and size of an image.

    Raises ImageUnreadable for another kind, a header that is cut off, an image without pixels, or one with more than
    max_pixels pixels: a decompression bomb costs no more than reading its header.
    """
    kind = kind_of(data)
    if kind == "jpeg":
        frame = jpeg.read_frame(data)
        width, height = frame.width, frame.height
    elif kind == "png":
        ihdr = png.read_header(data)
        width, height = ihdr.width, ihdr.height
    elif kind == "bmp":
        info = bmp.read_header(data)
        width, height = info.width, info.height
    else:
        raise ImageUnreadable("no jpeg, png or bmp")
    if width < 1 or height < 1:
        raise ImageUnreadable("no pixels")
    if width * height > max_pixels:
        raise ImageUnreadable("too many pixels")
    return Header(kind, width, height)
