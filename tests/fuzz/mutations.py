"""Damaged data, drawn from a Random, so that a seed reproduces it."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from random import Random

import cv2

from portraits import astronaut_png, bmp, faceless_png, hopper_jpeg, jpeg, oriented, pixels, png

SIZE = (160, 192)
"""Width and height of the pictures: large enough for faces to be found, and processed in some milliseconds."""

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers where signs change, bytes carry and sizes overflow."""

TEXTS = (
    b"\0",
    b"\r\n",
    b"\r\n\r\n",
    b"&",
    b"=",
    b"%",
    b"%zz",
    b"%00",
    b"+",
    b"--",
    b'"',
    b"\\u0000",
    b"{",
    b"[[",
    b"\xff",
)


def seeded(seed: int, number: int) -> Random:
    """Return a Random of its own for each number, so that each can be reproduced alone."""
    return Random(f"{seed} {number}")  # noqa: S311 -- repeatable, not secret


@cache
def corpus() -> tuple[bytes, ...]:
    """Return valid images of every accepted kind, with and without a face."""
    face = cv2.resize(pixels(hopper_jpeg()), SIZE, interpolation=cv2.INTER_AREA)
    cup = cv2.resize(pixels(faceless_png()), SIZE, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    return (
        jpeg(face),
        jpeg(face, progressive=True),
        jpeg(grey),
        jpeg(cup, 40),
        oriented(face, 6),
        png(face),
        png(grey),
        png(cv2.cvtColor(face, cv2.COLOR_BGR2BGRA)),
        png(grey.astype("uint16") * 257),
        bmp(face),
        bmp(grey),
    )


@cache
def unknown_face() -> bytes:
    """Return a portrait of a person who is not in the corpus."""
    return jpeg(cv2.resize(pixels(astronaut_png()), (192, 192), interpolation=cv2.INTER_AREA))


def mutate(random: Random, data: bytes) -> bytes:
    """Return the data after one to four changes."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_CHANGES)(random, data)
    return data


def image(random: Random) -> bytes:
    """Return a damaged image. Every third PNG gets correct checksums, so that more of it is read."""
    data = mutate(random, random.choice(corpus()))
    return mended(data) if random.random() < 1 / 3 else data


def mended(data: bytes) -> bytes:
    """Return a PNG with correct checksums of all chunks, anything else unchanged."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 4 : position + 8 + length]
        out += data[position : position + 4] + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return bytes(out + data[position:])


def _place(random: Random, data: bytes) -> int:
    """Return a position, half of the time near the beginning, where headers are."""
    return random.randrange(min(len(data), 64) if random.random() < 0.5 else len(data)) if data else 0


def _flip_bits(random: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 3, 30)) if data else 0):
        out[_place(random, data)] ^= 1 << random.randrange(8)
    return bytes(out)


def _overwrite(random: Random, data: bytes) -> bytes:
    at, noise = _place(random, data), random.randbytes(random.choice((1, 4, 50)))
    return data[:at] + noise + data[at + len(noise) :]


def _set_number(random: Random, data: bytes) -> bytes:
    """Replace a number of 1, 2 or 4 bytes, in either byte order, by an interesting one."""
    at, width, order = _place(random, data), random.choice((1, 2, 4)), random.choice(("big", "little"))
    number = random.choice(INTERESTING) & ((1 << 8 * width) - 1)
    return data[:at] + number.to_bytes(width, order) + data[at + width :]


def _cut_off(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _cut_out(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 4, 100, 1000)) :]


def _repeat(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    part = data[at : at + random.choice((1, 16, 500))]
    return data[:at] + part * random.choice((2, 10)) + data[at:]


def _insert(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.choice(TEXTS) + data[at:]


def _splice(random: Random, data: bytes) -> bytes:
    """Join the beginning of the data to the end of another image."""
    other = random.choice(corpus())
    return data[: _place(random, data)] + other[_place(random, other) :]


def _append(random: Random, data: bytes) -> bytes:
    return data + random.choice((random.randbytes(200), random.choice(corpus()), bytes(100_000)))


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip_bits,
    _overwrite,
    _set_number,
    _cut_off,
    _cut_out,
    _repeat,
    _insert,
    _splice,
    _append,
)
