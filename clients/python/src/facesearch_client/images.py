"""Images in the forms in which programs have them, to the encoded bytes that are sent.

Neither Pillow nor NumPy is imported unless one of their images is given, or shrink asks for Pillow.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from facesearch_client.errors import ImageTooLarge
from facesearch_client.limits import MAX_IMAGE_BYTES
from facesearch_client.png import png


class BinaryFile(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes: ...


class PillowImage(Protocol):
    """What Pillow's images have and are recognised by for types; at run time the class itself is asked for."""

    @property
    def mode(self) -> str: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def getexif(self) -> Any: ...


class Array(Protocol):
    """What a NumPy array has."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def tobytes(self) -> bytes: ...


@dataclass(frozen=True, eq=False, repr=False)
class Pixels:
    """A decoded picture.

    array: uint8, height x width x 3, or height x width for a grey one. channels: the order of the last axis: "BGR" as
    OpenCV reads pictures, "RGB" as most others do. An array does not tell, and faces in the wrong order are recognised
    badly; of a grey picture it does not matter.

    Raises ValueError for another shape, type or order.
    """

    array: Array
    channels: Literal["BGR", "RGB"]

    def __post_init__(self) -> None:
        shape = self.array.shape
        if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or 0 in shape or str(self.array.dtype) != "uint8":
            raise ValueError(
                "pixels must be uint8 of the shape (height, width, 3), or (height, width) for grey, not "
                f"{self.array.dtype} of {shape}"
            )
        if self.channels not in ("BGR", "RGB"):
            raise ValueError(f'channels must be "BGR" or "RGB", not {self.channels!r}')

    def rgb(self) -> Array:
        """Return the array with its channels in the order of RGB, or a grey one as it is."""
        reverse = self.channels == "BGR" and len(self.array.shape) == 3
        turned: Array = self.array[..., ::-1] if reverse else self.array
        return turned


Image = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | PillowImage | Pixels
"""An image: the path of a file, its bytes, a file opened in binary mode, an image of Pillow, or Pixels."""


def encoded(image: Image, *, shrink: bool) -> bytes:
    """Return an encoded image that is not too large. shrink: scale it down until the service takes it, which needs
    Pillow.

    Raises ImageTooLarge for one of more than MAX_IMAGE_BYTES, with shrink ImageUnreadable for one that cannot be
    decoded, TypeError for what is no image, OSError for a file that cannot be read, and ImportError if Pillow is
    needed and missing.
    """
    data = _shrunk(image) if shrink else _as_it_is(image)
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageTooLarge(
            f"the image has more than {MAX_IMAGE_BYTES} bytes, the most that is accepted; shrink=True scales it down"
        )
    return data


def _as_it_is(image: Image) -> bytes:
    if isinstance(image, Pixels):
        return png(image.rgb())
    if _is_pillow(image):
        data: bytes = _pillow().jpeg(image)
        return data
    return _file(image, MAX_IMAGE_BYTES + 1)


def _shrunk(image: Image) -> bytes:
    pillow = _pillow()
    if isinstance(image, Pixels):
        image = pillow.from_rgb(image.rgb())
    data: bytes = pillow.fitting_jpeg(image) if _is_pillow(image) else pillow.shrunk(_file(image))
    return data


def _file(image: Any, at_most: int = -1) -> bytes:
    """Return the content of a file. at_most: how many bytes of a path are read; -1: all."""
    if isinstance(image, str | os.PathLike):
        with Path(image).open("rb") as file:
            return file.read(at_most)
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "read"):
        data = image.read()
        if not isinstance(data, bytes):
            raise TypeError("the file of the image must be open in binary mode")
        return data
    if hasattr(image, "__array_interface__"):
        raise TypeError('an array does not tell the order of its channels: give Pixels(array, "BGR") or "RGB"')
    raise TypeError(f"an image is a path, bytes, a file, an image of Pillow or Pixels, not {type(image).__name__}")


def _is_pillow(image: Any) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _pillow() -> Any:
    """Return the module that uses Pillow. Raises ImportError if Pillow is missing."""
    try:
        from facesearch_client import pillow  # noqa: PLC0415 -- only who needs it has it
    except ImportError as error:
        raise ImportError("shrink=True needs Pillow: pip install 'facesearch-client[shrink]'") from error
    return pillow
