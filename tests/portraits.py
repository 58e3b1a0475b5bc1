"""Portraits for tests: two people whose photos come with scikit-image and matplotlib, and changes of photos.

Images are encoded bytes, as callers send them, unless a function says otherwise.
"""

import math
import struct
from functools import cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import skimage

Image = npt.NDArray[np.uint8]


@cache
def astronaut_png() -> bytes:
    """Return a portrait of Eileen Collins, 512 x 512, one face. NASA, public domain."""
    return (Path(skimage.__file__).parent / "data/astronaut.png").read_bytes()


@cache
def hopper_jpeg() -> bytes:
    """Return a portrait of Grace Hopper, 512 x 600, one face. US Navy, public domain."""
    return (Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg").read_bytes()


@cache
def faceless_png() -> bytes:
    """Return a photo of a cup of coffee, 600 x 400. Public domain."""
    return (Path(skimage.__file__).parent / "data/coffee.png").read_bytes()


def pixels(data: bytes) -> Image:
    """Decode an image: uint8 (H, W, 3) BGR."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def png(image: npt.NDArray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def bmp(image: npt.NDArray) -> bytes:
    return cv2.imencode(".bmp", image)[1].tobytes()


def jpeg(image: npt.NDArray, quality: int = 95, *, progressive: bool = False) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def reencode(data: bytes, quality: int = 60) -> bytes:
    """Encode a picture as a JPEG of that quality."""
    return jpeg(pixels(data), quality)


def crop(data: bytes, x: int, y: int, width: int, height: int) -> bytes:
    """Return a part of a picture."""
    return png(pixels(data)[y : y + height, x : x + width])


def rotate(data: bytes, degrees: float) -> bytes:
    """Rotate a picture counter-clockwise about its centre; the size stays, and corners become black."""
    image = pixels(data)
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return png(cv2.warpAffine(image, turn, (width, height)))


def darken(data: bytes, factor: float = 0.5) -> bytes:
    """Multiply every value of a picture."""
    return png((pixels(data) * factor).astype(np.uint8))


def scale(data: bytes, factor: float) -> bytes:
    """Enlarge or reduce a picture."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return png(cv2.resize(pixels(data), None, fx=factor, fy=factor, interpolation=how))


def side_by_side(*pictures: bytes) -> bytes:
    """Put pictures in a row from left to right, aligned at the top, with black below the lower ones."""
    images = [pixels(picture) for picture in pictures]
    height = max(image.shape[0] for image in images)
    return png(np.hstack([cv2.copyMakeBorder(i, 0, height - i.shape[0], 0, 0, cv2.BORDER_CONSTANT) for i in images]))


def crowd(faces: int) -> bytes:
    """Return a picture with that many copies of one face, each 90 x 90 pixels, in about a square."""
    head = cv2.resize(pixels(astronaut_png())[10:170, 150:300], (90, 90), interpolation=cv2.INTER_AREA)
    columns = math.ceil(math.sqrt(faces))
    picture = np.full((math.ceil(faces / columns) * 90, columns * 90, 3), 90, np.uint8)
    for number in range(faces):
        row, column = divmod(number, columns)
        picture[row * 90 : row * 90 + 90, column * 90 : column * 90 + 90] = head
    return jpeg(picture, 90)


def oriented(upright: Image, orientation: int, quality: int = 95) -> bytes:
    """Return a JPEG that looks like `upright` when its EXIF orientation (1-8) is honoured. Source: EXIF 2.32, tag
    0x0112.
    """
    stored = {
        1: lambda i: i,
        2: lambda i: i[:, ::-1],
        3: lambda i: i[::-1, ::-1],
        4: lambda i: i[::-1],
        5: lambda i: i.transpose(1, 0, 2),
        6: np.rot90,
        7: lambda i: i[::-1, ::-1].transpose(1, 0, 2),
        8: lambda i: np.rot90(i, -1),
    }[orientation](upright)
    data = jpeg(np.ascontiguousarray(stored), quality)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
