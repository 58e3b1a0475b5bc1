"""Hostile images, and the most expensive accepted ones, see hostile.py."""

import struct
import zipfile
from io import BytesIO

import numpy as np

from bitmaps import FIELDS, bitmap
from hostile import DECODED, INVALID_FORMAT, INVALID_SIZE, Hostile
from image_parts import (
    PNG_START,
    behind_start,
    bmp,
    chunk,
    exif,
    flat_png,
    frame_at,
    ihdr,
    large_photo,
    many_scans,
    oddly_sampled,
    photo_png,
    resized,
    segment,
    segments_of,
    with_chunk,
    written,
    zeros,
)
from portraits import astronaut_png, hopper_jpeg, jpeg, oriented, pixels
from shared.contract import MAX_IMAGE_BYTES

EOI = b"\xff\xd9"


def truncated(share: float, data: bytes, end: bytes = b"") -> bytes:
    """Return the first share of an image, followed by `end`."""
    return data[: int(len(data) * share)] + end


def progressive() -> bytes:
    return jpeg(pixels(hopper_jpeg()), progressive=True)


def huge_frame() -> bytes:
    """Return a frame header of 65,500 x 65,500 pixels."""
    return segment(0xC0, struct.pack(">BHHB", 8, 65_500, 65_500, 3) + bytes((1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1)))


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack(">HHII", tag, kind, count, value)


def zipped() -> bytes:
    """Return an image that is a ZIP archive as well."""
    stream = BytesIO(hopper_jpeg())
    stream.seek(0, 2)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("run.sh", "echo")
    return stream.getvalue()


def animated(start: bytes = b"") -> bytes:
    control = chunk(b"acTL", struct.pack(">II", 1000, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 10, 0, 0))
    return with_chunk(astronaut_png(), control + frame + start)


def full_packets(kind: bytes, before: bytes) -> bytes:
    """Return a portrait with as many chunks as fit that inflate to 8 MB each, the limit of libpng."""
    one = chunk(kind, before + zeros(7_900_000))
    return with_chunk(astronaut_png(), one * ((MAX_IMAGE_BYTES - len(astronaut_png())) // len(one)))


REFERENCES = (
    Hostile("JPEG of a phone, 48 megapixels", large_photo, DECODED, "the largest photo"),
    Hostile("the same, progressive", lambda: large_photo(progressive=True), DECODED, "ten passes over all blocks"),
    Hostile("PNG of a photo, 2 MB", photo_png, DECODED, "inflating is all"),
    Hostile("PNG, 49 megapixels, one colour", lambda: flat_png(7000, 7000), DECODED, "within the limit of pixels"),
)
"""The most expensive images of honest callers: no hostile one may cost more than twice as much."""

KINDS = (
    *(
        Hostile(f"{name} file", make, INVALID_FORMAT, "told by its first bytes")
        for name, make in {
            "GIF": lambda: written("GIF"),
            "WebP": lambda: written("WEBP"),
            "TIFF": lambda: written("TIFF"),
            "PDF": lambda: written("PDF"),
            "ICO": lambda: written("ICO"),
            "JPEG 2000": lambda: written("JPEG2000"),
            "AVIF": lambda: written("AVIF"),
            "PPM": lambda: written("PPM"),
            "HEIC": lambda: struct.pack(">I", 24) + b"ftypheic" + bytes(1000),
            "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            "text": lambda: b"not an image " * 1000,
        }.items()
    ),
    Hostile("MPO, two pictures", lambda: written("MPO"), DECODED, "the first picture counts"),
    Hostile("animated PNG that claims large frames", animated, DECODED, "animation chunks are dropped"),
    Hostile("JPEG that is a ZIP too", zipped, DECODED, "nothing after the end is read"),
    Hostile(
        "JPEG that is HTML too",
        lambda: behind_start(hopper_jpeg(), segment(0xFE, b"<html><script>alert(1)</script>")),
        DECODED,
        "never served back",
    ),
    Hostile("trailing megabyte", lambda: hopper_jpeg() + b"\xff\xd8" * 500_000, DECODED, "not read"),
    Hostile("2 MiB and a byte", lambda: hopper_jpeg().ljust(MAX_IMAGE_BYTES + 1), INVALID_SIZE, "before its format"),
)

PNGS = (
    Hostile("PNG 20000x20000", lambda: flat_png(20_000, 20_000), INVALID_FORMAT, "too many pixels, by its header"),
    Hostile(
        "PNG that claims 60000x60000",
        lambda: PNG_START + ihdr(60_000, 60_000) + chunk(b"IDAT", zeros(1000)) + chunk(b"IEND"),
        INVALID_FORMAT,
        "too many pixels, by its header",
    ),
    Hostile(
        "PNG, 16 bit RGBA, 49 megapixels", lambda: flat_png(7000, 7000, 16, 6), INVALID_FORMAT, "392 MB of image data"
    ),
    Hostile("PNG, 8 bit RGBA, 49 megapixels", lambda: flat_png(7000, 7000, 8, 6), DECODED, "within the limit"),
    Hostile("zTXt bombs, 1 GB", lambda: full_packets(b"zTXt", b"a\0\0"), DECODED, "dropped unread"),
    Hostile("iTXt bombs, 1 GB", lambda: full_packets(b"iTXt", b"a\0\1\0\0\0"), DECODED, "dropped unread"),
    Hostile("iCCP bombs, 1 GB", lambda: full_packets(b"iCCP", b"a\0\0"), DECODED, "dropped unread"),
    Hostile(
        "image data of 1 GB for 10x10",
        lambda: PNG_START + ihdr(10, 10) + chunk(b"IDAT", zeros(1 << 30)) + chunk(b"IEND"),
        INVALID_FORMAT,
        "inflated only as far as the header says",
    ),
    Hostile(
        "image data of 100 bytes for 7000x7000",
        lambda: PNG_START + ihdr(7000, 7000) + chunk(b"IDAT", zeros(100)) + chunk(b"IEND"),
        INVALID_FORMAT,
        "inflated before memory is taken",
    ),
    Hostile(
        "PNG of 100,000 empty chunks",
        lambda: with_chunk(astronaut_png(), chunk(b"abCd") * 100_000),
        INVALID_FORMAT,
        "at most 10,000",
    ),
    Hostile(
        "PNG with a second header",
        lambda: with_chunk(astronaut_png(), ihdr(30_000, 30_000)),
        INVALID_FORMAT,
        "chunks are walked",
    ),
    Hostile(
        "PNG with an unknown critical chunk",
        lambda: with_chunk(astronaut_png(), chunk(b"CgBI")),
        INVALID_FORMAT,
        "chunks are walked",
    ),
    Hostile("PNG cut at 50 %", lambda: truncated(0.5, astronaut_png()), INVALID_FORMAT, "no last chunk"),
    Hostile(
        "PNG cut at 50 %, closed again",
        lambda: truncated(0.5, astronaut_png(), chunk(b"IEND")),
        INVALID_FORMAT,
        "the last chunk's length runs over",
    ),
)

JPEGS = (
    Hostile("JPEG cut at 5 %", lambda: truncated(0.05, hopper_jpeg()), INVALID_FORMAT, "its scan ends too early"),
    Hostile("JPEG cut at 50 %", lambda: truncated(0.5, hopper_jpeg()), INVALID_FORMAT, "its scan ends too early"),
    Hostile(
        "JPEG cut at 5 %, closed again",
        lambda: truncated(0.05, hopper_jpeg(), EOI),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "JPEG cut at 50 %, closed again",
        lambda: truncated(0.5, hopper_jpeg(), EOI),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "48 megapixels cut at 50 %, closed again",
        lambda: truncated(0.5, large_photo(), EOI),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "progressive cut at 50 %, closed again",
        lambda: truncated(0.5, progressive(), EOI),
        INVALID_FORMAT,
        "lacks scans",
    ),
    Hostile(
        "progressive cut in its last scan, closed again",
        lambda: truncated(0.95, progressive(), EOI),
        INVALID_FORMAT,
        "its last scan ends too early",
    ),
    Hostile("100 scans of 6 megapixels", lambda: many_scans(2400, 2500, 100), DECODED, "the most that is taken"),
    Hostile("101 scans of 6 megapixels", lambda: many_scans(2400, 2500, 101), INVALID_FORMAT, "too many scans"),
    Hostile("64 scans of 49 megapixels", lambda: many_scans(7000, 7000, 64), INVALID_FORMAT, "too many scans"),
    Hostile(
        "20,000 scans",
        lambda: progressive()[:-2] + segment(0xDA, b"\1\1\0\1\x3f\0") * 20_000 + EOI,
        INVALID_FORMAT,
        "too many scans",
    ),
    Hostile(
        "small JPEG that claims 7000x7000",
        lambda: resized(hopper_jpeg(), 7000, 7000),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile("JPEG that claims 65535x1", lambda: resized(hopper_jpeg(), 65535, 1), INVALID_FORMAT, "libjpeg's limit"),
    Hostile(
        "JPEG that claims 1x65500", lambda: resized(hopper_jpeg(), 1, 65500), INVALID_FORMAT, "its scan ends too early"
    ),
    Hostile("JPEG that claims 65535x65535", lambda: resized(hopper_jpeg(), 65535, 65535), INVALID_FORMAT, "pixels"),
    Hostile("JPEG of height 0, told later", lambda: resized(hopper_jpeg(), 512, 0), INVALID_FORMAT, "no pixels"),
    Hostile(
        "JPEG with two frames",
        lambda: hopper_jpeg()[: frame_at(hopper_jpeg()) + 19] + hopper_jpeg()[frame_at(hopper_jpeg()) :],
        INVALID_FORMAT,
        "one frame only",
    ),
    Hostile(
        "JPEG with a frame hidden behind a marker without length",
        lambda: behind_start(
            hopper_jpeg(), b"\xff\x01" + b"\x00\x13" + b"\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03" + bytes(9)
        ),
        INVALID_FORMAT,
        "seen as libjpeg sees it: too many pixels",
    ),
    Hostile(
        "arithmetic JPEG",
        lambda: hopper_jpeg().replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11", 1),
        INVALID_FORMAT,
        "nobody writes them",
    ),
    Hostile(
        "JPEG of 400,000 empty segments",
        lambda: behind_start(hopper_jpeg(), b"\xff\xef\x00\x02" * 400_000),
        INVALID_FORMAT,
        "at most 1,000",
    ),
    Hostile(
        "JPEG of 2,000,000 fill bytes",
        lambda: behind_start(hopper_jpeg(), b"\xff" * 2_000_000),
        INVALID_FORMAT,
        "at most 256 KiB between segments",
    ),
    Hostile(
        "JPEG with 250 kB between its segments",
        lambda: behind_start(hopper_jpeg(), segment(0xFE, b"") + b"\xff\x00" * 125_000),
        DECODED,
        "skipped, as libjpeg does",
    ),
    Hostile(
        "JPEG with a frame between its segments",
        lambda: behind_start(hopper_jpeg(), segment(0xFE, b"") + b"\0" + huge_frame()),
        INVALID_FORMAT,
        "the first frame counts: too many pixels",
    ),
    Hostile(
        "JPEG with a frame in a segment that is too short by its length",
        lambda: behind_start(hopper_jpeg(), b"\xff\xfe\x00\x02" + huge_frame()),
        INVALID_FORMAT,
        "the first frame counts: too many pixels",
    ),
    Hostile("JPEG without its end marker", lambda: hopper_jpeg()[:-2], DECODED, "its scan is whole"),
    Hostile(
        "JPEG that lacks the last byte of its scan",
        lambda: hopper_jpeg()[:-3] + EOI,
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "JPEG with an empty scan",
        lambda: hopper_jpeg()[: segments_of(hopper_jpeg())[-1][1]] + EOI,
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "JPEG that is cut off behind codes that there are not",
        lambda: truncated(2 / 3, hopper_jpeg(), b"\xff\0" * 64 + EOI),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "progressive JPEG of 48 megapixels, zeros behind its scans",
        lambda: large_photo(progressive=True)[:-2] + bytes(50) + EOI,
        DECODED,
        "decoded twice",
    ),
    Hostile(
        "JPEG with colours at odd resolutions",
        lambda: oddly_sampled(np.random.default_rng(1).integers(0, 256, (512, 640, 4), np.uint8)),
        DECODED,
        "decoded three times",
    ),
    Hostile(
        "1.6 MB of APP1", lambda: behind_start(hopper_jpeg(), segment(0xE1, bytes(65_533)) * 25), DECODED, "skipped"
    ),
    Hostile(
        "2 MB of restart marks",
        lambda: truncated(0.5, hopper_jpeg(), b"\xff\xd0" * 1_000_000 + EOI),
        INVALID_FORMAT,
        "its scan ends too early",
    ),
    Hostile(
        "EXIF that points at itself",
        lambda: exif(b"MM\0*" + struct.pack(">IH", 8, 1) + entry(0x8769, 4, 1, 8)),
        DECODED,
        "bounded by its block",
    ),
    Hostile("EXIF far outside", lambda: exif(b"MM\0*\xff\xff\xff\xf0"), DECODED, "ignored"),
    Hostile(
        "EXIF of 5,000 entries of 4 GB",
        lambda: exif(b"II*\0" + struct.pack("<IH", 8, 5000) + struct.pack("<HHII", 0x011A, 5, 0xFFFFFFFF, 8) * 5000),
        DECODED,
        "bounded by its block",
    ),
    Hostile(
        "EXIF orientation 99",
        lambda: exif(b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHHI", 0x112, 3, 1, 99, 0, 0)),
        DECODED,
        "as if there were none",
    ),
    Hostile(
        "EXIF orientation 6, 48 megapixels",
        lambda: behind_start(large_photo(), oriented(pixels(astronaut_png()), 6)[2:38]),
        DECODED,
        "turned",
    ),
)

_GREYS = b"".join(bytes([value, value, value, 0]) for value in range(256))

BMPS = (
    Hostile("BMP around a JPEG", lambda: bmp(512, 600, 24, hopper_jpeg(), packing=4), INVALID_FORMAT, "by its header"),
    Hostile("BMP around a PNG", lambda: bmp(9, 9, 32, astronaut_png(), packing=5), INVALID_FORMAT, "by its header"),
    Hostile(
        "BMP that claims 7000x7000 in 100 bytes",
        lambda: bmp(7000, 7000, 24, bytes(100)),
        INVALID_FORMAT,
        "ends too early",
    ),
    Hostile("BMP of height -2147483648", lambda: bmp(9, -(2**31), 24, bytes(100)), INVALID_FORMAT, "pixels"),
    Hostile("BMP of width -9", lambda: bmp(-9, 9, 24, bytes(999)), INVALID_FORMAT, "no pixels"),
    Hostile(
        "run-length BMP, 49 megapixels in 2 bytes",
        lambda: bmp(7000, 7000, 8, b"\0\1", packing=1, palette=_GREYS),
        DECODED,
        "within the limit",
    ),
    Hostile(
        "run-length BMP that runs over",
        lambda: bmp(4, 2, 8, b"\xff\1" * 1000, packing=1, palette=_GREYS),
        INVALID_FORMAT,
        "leaves the picture",
    ),
    Hostile(
        "run-length BMP of a million empty jumps",
        lambda: bmp(99, 99, 8, b"\0\2\0\0" * 500_000, packing=1, palette=_GREYS),
        INVALID_FORMAT,
        "ends too early",
    ),
    Hostile(
        "run-length BMP of a million runs of one pixel",
        lambda: bmp(1000, 1040, 8, (b"\1\5" * 1000 + b"\0\0") * 1040, packing=1, palette=_GREYS),
        DECODED,
        "as many as fit into 2 MiB",
    ),
    Hostile(
        "run-length BMP of a million empty rows",
        lambda: bmp(7, 1_000_000, 8, bytes(2_000_000), packing=1, palette=_GREYS),
        DECODED,
        "within the limit",
    ),
    Hostile(
        "BMP, 32 bits, fields of 10 bits",
        lambda: bitmap(720, 720, 32, bytes(4 * 720 * 720), packing=3, masks=FIELDS["10 bits"]),
        DECODED,
        "as many pixels as fit into 2 MiB",
    ),
    Hostile(
        "BMP with 2 billion colours",
        lambda: bmp(9, 9, 8, bytes(999), palette=_GREYS).replace(
            struct.pack("<I", 256), struct.pack("<I", 2**31 - 1), 1
        ),
        INVALID_FORMAT,
        "at most 256",
    ),
    Hostile(
        "BMP, 1 bit, 16 megapixels",
        lambda: bmp(7000, 2300, 1, bytes(876 * 2300), palette=_GREYS[:8]),
        DECODED,
        "within the limit",
    ),
)

IMAGES = (*REFERENCES, *KINDS, *PNGS, *JPEGS, *BMPS)
