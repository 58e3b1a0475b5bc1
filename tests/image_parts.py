"""Images assembled from their parts, for kinds that no encoder writes."""

import io
import struct
import zlib
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from portraits import hopper_jpeg, jpeg, pixels

PNG_START = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def zeros(size: int) -> bytes:
    """Return that many zero bytes as a zlib stream of about a thousandth of the size."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    pieces = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*pieces, packer.compress(bytes(size & 0xFFFFF)), packer.flush()])


def flat_png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Return a black PNG of that size, in few bytes."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * channels * depth + 7) // 8
    return PNG_START + ihdr(width, height, depth, colour) + chunk(b"IDAT", zeros(row * height)) + chunk(b"IEND")


def with_chunk(png: bytes, extra: bytes) -> bytes:
    """Insert chunks after the header of a PNG."""
    return png[:33] + extra + png[33:]


def bmp(
    width: int, height: int, depth: int, content: bytes, *, packing: int = 0, header: int = 40, palette: bytes = b""
) -> bytes:
    """Return a BMP. header: its size in bytes; 12 is the oldest, 40 the common one, 108 and 124 are V4 and V5."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        colours = len(palette) // 4
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, depth, packing, len(content), 0, 0, colours, 0)
        info = info.ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + info + palette + content


def segment(code: int, content: bytes) -> bytes:
    """Return a JPEG marker with its length and content."""
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def behind_start(jpeg_: bytes, extra: bytes) -> bytes:
    """Insert bytes before the first segment of a JPEG."""
    return jpeg_[:2] + extra + jpeg_[2:]


def frame_at(jpeg_: bytes) -> int:
    """Return the position of the frame header of an undamaged JPEG."""
    return next(start for start, _ in segments_of(jpeg_) if jpeg_[start + 1] in (0xC0, 0xC2))


def resized(jpeg_: bytes, width: int, height: int) -> bytes:
    """Change the size in the frame header of a JPEG."""
    at = frame_at(jpeg_) + 5
    return jpeg_[:at] + struct.pack(">HH", height, width) + jpeg_[at + 4 :]


def exif(tiff: bytes) -> bytes:
    """Return a small portrait with an EXIF block."""
    return behind_start(hopper_jpeg(), segment(0xE1, b"Exif\0\0" + tiff))


def segments_of(jpeg_: bytes) -> list[tuple[int, int]]:
    """Return start and end of each segment of an undamaged JPEG, up to the header of its first scan."""
    at, found = 2, []
    while not found or jpeg_[found[-1][0] + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg_[at + 2 : at + 4], "big")
        found.append((at, end))
        at = end
    return found


def without(jpeg_: bytes, *codes: int) -> bytes:
    """Remove the segments of these codes from a JPEG."""
    for start, end in reversed(segments_of(jpeg_)):
        if jpeg_[start + 1] in codes:
            jpeg_ = jpeg_[:start] + jpeg_[end:]
    return jpeg_


def ink(planes: npt.NDArray[np.uint8], *, adobe: int | None) -> bytes:
    """Return a JPEG of quality 95 whose four components are stored as these planes (H, W, 4). adobe: the transform in
    an Adobe marker, 0 for CMYK and 2 for YCCK; None for no marker.
    """
    stream = io.BytesIO()
    # Pillow writes an Adobe marker and inverts the components.
    Pillow.fromarray(255 - planes, "CMYK").save(stream, "JPEG", quality=95)
    written = stream.getvalue()
    if adobe is None:
        return without(written, 0xEE)
    return written.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0" + bytes([adobe]))


def oddly_sampled(planes: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of YCbCr in which only Cr has full width, as no encoder writes it. planes: (H, W, 4), multiples of
    8: Y and Cb at half the width, Cr, and 128 throughout.
    """
    data = bytearray(ink(planes, adobe=None))
    height, width, _ = planes.shape
    at = frame_at(bytes(data))
    frame = struct.pack(">BHHB", 8, height, width * 2, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x21, 0))
    data[at : at + 2 + 8 + 12] = segment(0xC0, frame)
    start, end = segments_of(bytes(data))[-1]
    data[start:end] = segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0)))
    return bytes(data)


def many_scans(width: int, height: int, scans: int) -> bytes:
    """Return a valid progressive JPEG, all grey, of 64 to 126 scans of few bytes, though decoding each passes over all
    blocks. One scan has the mean of each block, then one or two have each of the 63 other coefficients.
    """
    blocks = -(-width // 8) * -(-height // 8)
    means = bytes(-(-blocks // 8))  # one bit 0 for each block: no difference to the one before
    runs = _bits("0" + "1" * 14, -(-blocks // 32767))  # "the next 32,767 blocks have no coefficient here"
    parts = [
        b"\xff\xd8",
        segment(0xDB, b"\0" + bytes([1] * 64)),
        segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
        segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00" + b"\x10" + bytes([1] + [0] * 15) + b"\xe0"),
        segment(0xDA, b"\1\1\0\0\0\0") + means,
    ]
    twice = scans - 64
    for coefficient in range(1, 64):
        where = bytes([coefficient, coefficient])
        if coefficient <= twice:
            parts.append(segment(0xDA, b"\1\1\0" + where + b"\x01") + runs)
            parts.append(segment(0xDA, b"\1\1\0" + where + b"\x10") + runs)
        else:
            parts.append(segment(0xDA, b"\1\1\0" + where + b"\x00") + runs)
    return b"".join([*parts, b"\xff\xd9"])


def _bits(word: str, times: int) -> bytes:
    """Return entropy-coded data that repeats a word of bits, padded with 1 and with FF escaped."""
    bits = word * times
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


@cache
def large_photo(progressive: bool = False) -> bytes:
    """Return a JPEG of 48 million pixels and less than 2 MiB, as the largest phones take them."""
    return jpeg(cv2.resize(pixels(hopper_jpeg()), (6400, 7500)), 60, progressive=progressive)


@cache
def photo_png() -> bytes:
    """Return a PNG of a photo of about 2 MB: a grainy portrait, which compresses badly."""
    image = cv2.resize(pixels(hopper_jpeg()), (760, 890)).astype(int)
    noise = np.random.default_rng(1).integers(-9, 10, image.shape)
    return cv2.imencode(".png", (image + noise).clip(0, 255).astype(np.uint8))[1].tobytes()


def written(form: str, mode: str = "RGB", **options: object) -> bytes:
    """Return the portrait as Pillow encodes it."""
    stream = io.BytesIO()
    Pillow.open(io.BytesIO(hopper_jpeg())).convert(mode).save(stream, form, **options)
    return stream.getvalue()
