"""The photos of the benchmarks.

Labelled photos of LFW if that folder is there (250 x 250 pixels), else crops of packaged portraits of the same size;
and one portrait as it is, and enlarged to 2 and 12 megapixels: as large to decode as a phone's photo, without its
detail.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import matplotlib as mpl
import numpy as np
import skimage

LFW: Final = Path("../shared/faces/lfw")
SMALL: Final = 64
"""Photos of 250 x 250 pixels, each of another person."""


def photos() -> Mapping[str, list[bytes]]:
    """Return JPEGs by kind: small, portrait, 2mp, 12mp."""
    portrait = (Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg").read_bytes()
    return {
        "small": small(),
        "portrait": [portrait],
        "2mp": [enlarged(portrait, 1600)],
        "12mp": [enlarged(portrait, 4000)],
    }


def small() -> list[bytes]:
    people = sorted(LFW.glob("*/0.jpg"))
    if people:
        return [path.read_bytes() for path in people[:: max(1, len(people) // SMALL)][:SMALL]]
    faces = [
        _pixels((Path(skimage.__file__).parent / "data/astronaut.png").read_bytes())[0:250, 100:350],
        _pixels((Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg").read_bytes())[60:310, 130:380],
    ]
    return [_jpeg(np.ascontiguousarray(face)) for face in faces]


def cut(data: bytes, turn: int) -> bytes:
    """Return a part of a photo, of 4:3, 3:2 or 16:9, upright or across, one after the other."""
    image = _pixels(data)
    height, width = image.shape[:2]
    long, short = ((4, 3), (3, 2), (16, 9))[turn // 2 % 3]
    least = min(height, width)
    size = (least, round(least * short / long))
    rows, columns = size if turn % 2 else size[::-1]
    top, left = (height - rows) // 2, (width - columns) // 2
    return _jpeg(np.ascontiguousarray(image[top : top + rows, left : left + columns]), 95)


def source() -> str:
    """Return where the small ones come from."""
    return "LFW, 250 x 250" if LFW.is_dir() else "packaged portraits, 250 x 250"


def written(images: Sequence[bytes], folder: Path) -> list[Path]:
    """Write the photos into a new folder, for the load generator, and return their paths."""
    folder.mkdir(parents=True)
    files = [folder / f"{number}.jpg" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(image)
    return files


def enlarged(data: bytes, height: int) -> bytes:
    image = _pixels(data)
    width = round(image.shape[1] * height / image.shape[0])
    return _jpeg(np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)), 85)


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def _jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
