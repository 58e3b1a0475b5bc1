"""Every kind of BMP, compared with pixels that no decoder made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmaps import BITMAPS, CORE, FIELDS, INFO, OS2_2, V4, bitmap, packed, palette_of
from gateway.body.encoded_images import check
from shared.errors import ImageUnreadable
from worker.vision.decode import decode

PALETTE, COLOURS = palette_of(256)
GREYS = np.arange(35, dtype=np.uint8).reshape(5, 7)


@pytest.mark.parametrize("case", BITMAPS, ids=str)
def test_pixels_and_size_are_right(case):
    got = decode(case.data)
    np.testing.assert_array_equal(got, case.image)
    assert got.flags.c_contiguous
    assert got.flags.writeable
    assert got.dtype == np.uint8
    header = check(case.data, 10_000)
    assert (header.height, header.width) == case.image.shape[:2]


@pytest.mark.parametrize("depth", [1, 4, 8])
@pytest.mark.parametrize("header", [CORE, INFO])
def test_a_truncated_palette_ends_where_the_pixels_start(depth, header):
    entry = 3 if header == CORE else 4
    stored, colours = palette_of(2, entry=entry)
    values = GREYS % 2
    data = bitmap(7, 5, depth, packed(values, depth), header=header, palette=stored, colours=0)
    np.testing.assert_array_equal(decode(data), colours[values])


def test_the_padding_of_the_last_row_may_be_missing():
    data = bitmap(7, 5, 8, packed(GREYS, 8), palette=PALETTE)
    np.testing.assert_array_equal(decode(data[:-1]), COLOURS[GREYS])
    with pytest.raises(ImageUnreadable):
        decode(data[:-2])


@pytest.mark.parametrize(
    "data",
    [
        bitmap(7, 5, 2, packed(GREYS % 4, 2), palette=PALETTE[:16]),
        bitmap(7, 5, 64, bytes(280)),
        bitmap(7, 5, 24, bytes(1000), packing=3),
        bitmap(7, 5, 24, bytes(1000), packing=6),
        bitmap(7, 5, 8, bytes(1000), packing=2, palette=PALETTE),
        bitmap(7, 5, 4, bytes(1000), packing=1, palette=PALETTE[:64]),
        bitmap(7, 5, 16, bytes(1000), packing=3, header=OS2_2),
        bitmap(7, 5, 24, bytes(1000)).replace(b"\x28\0\0\0\x07", b"\x2a\0\0\0\x07"),
        bitmap(7, 5, 24, bytes(1000)).replace(b"\x36\0\0\0\x28", b"\x35\0\0\0\x28"),
        bitmap(7, 5, 24, bytes(1000)).replace(b"\x36\0\0\0\x28", b"\xff\xff\xff\xff\x28"),
        bitmap(7, 5, 8, packed(GREYS, 8), palette=PALETTE, colours=257),
        bitmap(0, 5, 24, bytes(1000)),
        bitmap(7, 0, 24, bytes(1000)),
        bitmap(-7, 5, 24, bytes(1000)),
        bitmap(7, 0, 24, bytes(1000), header=CORE),
    ],
    ids=[
        "2 bits",
        "64 bits",
        "24 bits with masks",
        "masks with alpha",
        "4-bit run lengths of 8 bits",
        "8-bit run lengths of 4 bits",
        "Huffman of OS/2",
        "header of 42",
        "pixels in the header",
        "pixels far outside",
        "257 colours",
        "no columns",
        "no rows",
        "columns less than none",
        "no rows, OS/2",
    ],
)
def test_other_kinds_are_refused(data):
    with pytest.raises(ImageUnreadable):
        decode(data)


@pytest.mark.parametrize(
    ("depth", "masks"),
    [
        (16, (0, 0x07E0, 0x001F, 0)),
        (16, (0, 0, 0, 0)),
        (16, (0x10000, 0x07E0, 0x001F, 0)),
        (16, (0xF400, 0x03E0, 0x001F, 0)),
        (32, (0xFF00FF00, 0xFF0000, 0xFF, 0)),
        (32, (0xFF0000, 0xFF00, 0, 0xFF)),
    ],
    ids=["no red", "none", "red outside", "a hole in red", "two reds", "no blue"],
)
@pytest.mark.parametrize("header", [INFO, V4])
def test_malformed_bit_fields_are_refused(depth, masks, header):
    with pytest.raises(ImageUnreadable):
        decode(bitmap(7, 5, depth, bytes(1000), packing=3, header=header, masks=masks))


@pytest.mark.parametrize(
    "codes",
    [
        b"\x09\1\0\1",
        b"\5\1\4\1\0\1",
        b"\0\x09" + bytes(10) + b"\0\1",
        b"\0\2\x09\0\1\1\0\1",
        b"\0\2\0\2\1\1\0\1",
        b"\0\0\0\0\1\1\0\1",
        b"",
        b"\5",
        b"\5\1\0\0\4\1",
        b"\5\1\0\0\0\2\1",
        b"\5\1\0\0\0\5\1\2\3\4",
        b"\0\0",
    ],
    ids=[
        "a row too long",
        "a row too long by two runs",
        "a row too long one by one",
        "a jump to the right",
        "a jump up",
        "too many rows",
        "nothing",
        "half a code",
        "one pixel too few",
        "half a jump",
        "too few one by one",
        "one row",
    ],
)
def test_run_lengths_outside_of_the_picture_or_truncated_are_refused(codes):
    with pytest.raises(ImageUnreadable):
        decode(bitmap(5, 2, 8, codes, packing=1, palette=PALETTE))


@settings(max_examples=200)
@given(data=st.data())
def test_truncated_pixels_are_refused(data):
    case = data.draw(st.sampled_from([case for case in BITMAPS if "run lengths" not in case.name]))
    height, width = case.image.shape[:2]
    start = int.from_bytes(case.data[10:14], "little")
    depth = int.from_bytes(case.data[24:26] if case.data[14] == CORE else case.data[28:30], "little")
    fill = (-width * depth % 32) // 8
    assert len(case.data) == start + height * ((width * depth + 31) // 32 * 4)
    length = data.draw(st.integers(0, len(case.data) - fill - 1))
    with pytest.raises(ImageUnreadable):
        decode(case.data[:length])


@settings(max_examples=300)
@given(data=st.data())
def test_any_mutation_is_refused_or_has_the_size_that_the_gateway_read(data):
    case = data.draw(st.sampled_from(BITMAPS))
    mutated = bytearray(case.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(160, len(mutated) - 1)) | st.integers(0, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))
    try:
        header = check(bytes(mutated), 1_000_000)
        image = decode(bytes(mutated))
    except ImageUnreadable:
        return
    assert image.shape == (header.height, header.width, 3)


def test_alpha_is_dropped():
    values = np.full((5, 7), 0x00_30_20_10, np.uint32)
    data = bitmap(7, 5, 32, packed(values, 32), packing=3, header=V4, masks=FIELDS["BGRA"])
    np.testing.assert_array_equal(decode(data), np.full((5, 7, 3), (0x10, 0x20, 0x30), np.uint8))
