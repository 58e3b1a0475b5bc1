"""BMPs of every kind, assembled by hand, with their pixels."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

INFO, V2, V3, OS2_2, V4, V5 = 40, 52, 56, 64, 108, 124
CORE = 12

FIELDS = {
    "555": (0x7C00, 0x03E0, 0x001F, 0),
    "565": (0xF800, 0x07E0, 0x001F, 0),
    "1555": (0x7C00, 0x03E0, 0x001F, 0x8000),
    "444": (0x0F00, 0x00F0, 0x000F, 0),
    "4444": (0x0F00, 0x00F0, 0x000F, 0xF000),
    "332": (0x00E0, 0x001C, 0x0003, 0),
    "BGR 565": (0x001F, 0x07E0, 0xF800, 0),
    "BGRX": (0xFF0000, 0xFF00, 0xFF, 0),
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBX": (0xFF, 0xFF00, 0xFF0000, 0),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "XBGR": (0xFF000000, 0xFF0000, 0xFF00, 0),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "XRGB": (0xFF00, 0xFF0000, 0xFF000000, 0),
    "10 bits": (0x3FF00000, 0x000FFC00, 0x000003FF, 0),
    "apart": (0x000000FC, 0x0003F000, 0xFC000000, 0),
}
"""Masks of red, green, blue and alpha."""


@dataclass(frozen=True)
class Bitmap:
    """A file and its pixels: uint8 (H, W, 3) BGR."""

    name: str
    data: bytes
    image: Image

    def __str__(self) -> str:
        return self.name


def bitmap(
    width: int,
    height: int,
    depth: int,
    content: bytes,
    *,
    packing: int = 0,
    header: int = INFO,
    masks: tuple[int, int, int, int] = (0, 0, 0, 0),
    palette: bytes = b"",
    colours: int | None = None,
    gap: int = 0,
) -> bytes:
    """Return a BMP. colours: the number in its header, by default that of the palette. gap: bytes before the pixels."""
    if header == CORE:
        info = struct.pack("<IHHHH", CORE, width, height, 1, depth)
    else:
        count = len(palette) // 4 if colours is None else colours
        fields = (header, width, height, 1, depth, packing, len(content), 2835, 2835, count, 0)
        info = struct.pack("<IiiHHIIiiII", *fields)
        if header == INFO:
            info += struct.pack("<III", *masks[:3]) if packing == 3 else b""
        elif header != OS2_2:
            info += struct.pack("<IIII", *masks)[: header - INFO]
        info = info.ljust(header, b"\0")
    start = 14 + len(info) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + info + palette + bytes(gap) + content


def packed(values: npt.NDArray[np.unsignedinteger], depth: int, *, upside_down: bool = True) -> bytes:
    """Return values of `depth` bits (H, W) as rows padded to multiples of 4 bytes, the last row first by default."""
    rows = []
    for row in values[::-1] if upside_down else values:
        if depth >= 8:
            stored = b"".join(int(value).to_bytes(depth // 8, "little") for value in row)
        else:
            bits = "".join(f"{int(value):0{depth}b}" for value in row)
            bits += "0" * (-len(bits) % 8)
            stored = int(bits, 2).to_bytes(len(bits) // 8, "big")
        rows.append(stored + bytes(-len(stored) % 4))
    return b"".join(rows)


def coloured(values: npt.NDArray[np.unsignedinteger], masks: tuple[int, int, int, int]) -> Image:
    """Return the pixels of values of 16 or 32 bits, computed with Python's integers."""
    image = np.zeros((*values.shape, 3), np.uint8)
    for channel, mask in enumerate((masks[2], masks[1], masks[0])):
        shift = (mask & -mask).bit_length() - 1
        for where, value in np.ndenumerate(values):
            image[(*where, channel)] = int(((int(value) & mask) >> shift) * 255 / (mask >> shift) + 0.5)
    return image


def palette_of(count: int, seed: int = 1, *, entry: int = 4, grey: bool = False) -> tuple[bytes, Image]:
    """Return a palette as stored, and its colours: uint8 (count, 3) BGR."""
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3), np.uint8)
    if grey:
        colours = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3, axis=1)
    return b"".join(colour.tobytes() + bytes(entry - 3) for colour in colours), colours


def with_palettes() -> Iterator[Bitmap]:
    rng = np.random.default_rng(2)
    for depth in (1, 4, 8):
        for header in (CORE, INFO, V2, V3, OS2_2, V4, V5):
            for width in (1, 7, 8, 33):
                values = rng.integers(0, 1 << depth, (5, width), np.uint8)
                stored, colours = palette_of(1 << depth, entry=3 if header == CORE else 4)
                data = bitmap(width, 5, depth, packed(values, depth), header=header, palette=stored)
                yield Bitmap(f"{depth} bits, header of {header}, {width} wide", data, colours[values])
        values = rng.integers(0, 1 << depth, (5, 33), np.uint8)
        content = packed(values, depth)
        stored, colours = palette_of(1 << depth, grey=True)
        yield Bitmap(f"{depth} bits, dark greys", bitmap(33, 5, depth, content, palette=stored), colours[values])
        stored, colours = palette_of(1 << depth)
        upright = packed(values, depth, upside_down=False)
        yield Bitmap(f"{depth} bits, top down", bitmap(33, -5, depth, upright, palette=stored), colours[values])
        data = bitmap(33, 5, depth, content, palette=stored, colours=0, gap=10)
        yield Bitmap(f"{depth} bits, no number of colours, a gap", data, colours[values])
        if depth > 1:
            few = (1 << depth) - 3
            data = bitmap(33, 5, depth, packed(values % few, depth), palette=stored[: few * 4])
            yield Bitmap(f"{depth} bits, {few} colours", data, colours[values % few])
            black = np.vstack([colours[:few], np.zeros((3, 3), np.uint8)])
            data = bitmap(33, 5, depth, content, palette=stored[: few * 4])
            yield Bitmap(f"{depth} bits, of colours that are not there", data, black[values])


def without_palettes() -> Iterator[Bitmap]:
    rng = np.random.default_rng(3)
    for width in (1, 2, 7, 32):
        image = rng.integers(0, 256, (5, width, 3), np.uint8)
        values = image[..., 0] | image[..., 1].astype(np.uint32) << 8 | image[..., 2].astype(np.uint32) << 16
        for header in (CORE, INFO, V2, V3, OS2_2, V4, V5):
            yield Bitmap(
                f"24 bits, header of {header}, {width} wide",
                bitmap(width, 5, 24, packed(values, 24), header=header),
                image,
            )
        for depth in (16, 32):
            values = rng.integers(0, 1 << depth, (5, width), np.uint64)
            shown = coloured(values, FIELDS["555" if depth == 16 else "BGRX"])
            for header in (INFO, V2, V3, OS2_2, V4, V5):
                data = bitmap(width, 5, depth, packed(values, depth), header=header)
                yield Bitmap(f"{depth} bits, header of {header}, {width} wide", data, shown)
            data = bitmap(width, -5, depth, packed(values, depth, upside_down=False))
            yield Bitmap(f"{depth} bits, top down, {width} wide", data, shown)
    for name, masks in FIELDS.items():
        depth = 16 if max(masks) < 1 << 16 else 32
        values = rng.integers(0, 1 << depth, (5, 7), np.uint64)
        for header in (INFO, V2, V3, V4, V5):
            data = bitmap(7, 5, depth, packed(values, depth), header=header, packing=3, masks=masks)
            yield Bitmap(f"{name}, header of {header}", data, coloured(values, masks))


def run_lengths() -> Iterator[Bitmap]:
    """Codes by hand, of the rows from the bottom: a run (count, index), (0, 0) end of line, (0, 1) end of bitmap,
    (0, 2, right, up) a jump, (0, count, …) indices one by one in whole pairs of bytes.
    """
    stored, colours = palette_of(256)
    sixteen, few = palette_of(16)
    jump = bytes([0, 2, 2, 1])
    cases = {
        "runs": (b"\3\1\2\2\0\0\5\3\0\0\0\1", [[1, 1, 1, 2, 2], [3] * 5]),
        "no end of the last line": (b"\5\1\0\0\5\3\0\1", [[1] * 5, [3] * 5]),
        "no end of bitmap": (b"\5\1\0\0\5\3", [[1] * 5, [3] * 5]),
        "one by one": (b"\0\5\1\2\3\4\5\0\0\0\0\3\6\7\1\0\2\4\0\0\0\1", [[1, 2, 3, 4, 5], [6, 7, 1, 4, 4]]),
        "an empty row": (b"\0\0\5\3\0\0\0\1", [[0] * 5, [3] * 5]),
        "two empty rows": (b"\5\1\0\0\0\0\0\0\5\3\0\1", [[1] * 5, [0] * 5, [0] * 5, [3] * 5]),
        "short rows": (b"\2\1\0\0\1\3\0\0\0\1", [[1, 1, 0, 0, 0], [3, 0, 0, 0, 0]]),
        "a jump": (b"\1\1" + jump + b"\2\3\0\1", [[1, 0, 0, 0, 0], [0, 0, 0, 3, 3]]),
        "a jump along a row": (b"\1\1\0\2\3\0\1\2\0\0\5\3\0\1", [[1, 0, 0, 0, 2], [3] * 5]),
        "ends early": (b"\5\1\0\1", [[1] * 5, [0] * 5]),
        "rows filled up": (b"\5\1\3\0\0\0\0\x08\1\2\3\4\5\0\0\0\0\0\0\1", [[1] * 5, [1, 2, 3, 4, 5]]),
    }
    for name, (codes, rows) in cases.items():
        for gap in (0, 1):
            values = np.array(rows[::-1], np.uint8)
            data = bitmap(5, len(rows), 8, codes, packing=1, palette=stored, gap=gap)
            yield Bitmap(f"run lengths of 8 bits: {name}, a gap of {gap}", data, colours[values])
    cases = {
        "runs": (b"\3\x12\2\x33\0\0\5\x45\0\0\0\1", [[1, 2, 1, 3, 3], [4, 5, 4, 5, 4]]),
        "one by one": (b"\0\5\x12\x34\x50\0\0\0\0\3\x67\x80\2\x11\0\1", [[1, 2, 3, 4, 5], [6, 7, 8, 1, 1]]),
        "an empty row": (b"\0\0\5\x33\0\0\0\1", [[0] * 5, [3] * 5]),
        "a jump": (b"\1\x11" + jump + b"\2\x34\0\1", [[1, 0, 0, 0, 0], [0, 0, 0, 3, 4]]),
        "ends early": (b"\5\x11\0\1", [[1] * 5, [0] * 5]),
        "rows filled up": (b"\x08\x12\0\0\0\x08\x12\x34\x50\0\0\0\0\1", [[1, 2, 1, 2, 1], [1, 2, 3, 4, 5]]),
    }
    for name, (codes, rows) in cases.items():
        for gap in (0, 1):
            values = np.array(rows[::-1], np.uint8)
            data = bitmap(5, len(rows), 4, codes, packing=2, palette=sixteen, gap=gap)
            yield Bitmap(f"run lengths of 4 bits: {name}, a gap of {gap}", data, few[values])


BITMAPS = (*with_palettes(), *without_palettes(), *run_lengths())
