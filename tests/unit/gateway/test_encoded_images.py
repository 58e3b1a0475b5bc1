"""Base64 and image headers: what the gateway checks without decoding a pixel."""

import base64
import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.encoded_images import MAX_DATA_PREFIX_BYTES, check, check_all, decode_base64
from shared.contract import MAX_IMAGE_BYTES
from shared.errors import ImageTooLarge, ImageUnreadable, InvalidRequest
from shared.imagefile.jpeg import MAX_SKIPPED_BYTES

PIXELS = 50_000_000


def png(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def old_bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 26, 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24)


def jpeg(width: int, height: int, frame: int = 0xC0, before: bytes = b"") -> bytes:
    sof = struct.pack(">BBHBHHB", 0xFF, frame, 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + before + sof + b"\xff\xd9"


class TestBase64:
    @given(st.binary(min_size=1, max_size=300))
    def test_all_spellings_of_base64_give_the_same_bytes(self, data: bytes) -> None:
        standard = base64.b64encode(data)
        spellings = [
            standard,
            base64.urlsafe_b64encode(data),
            standard.rstrip(b"="),
            standard.replace(b"+", b" "),
            b"data:image/jpeg;base64," + standard,
            b"DATA:image/svg+xml;base64," + standard,
            base64.encodebytes(data),
            standard.replace(b"A", b"A\r\n"),
        ]
        for spelling in spellings:
            if spelling.strip() == standard or not spelling.startswith(b" "):
                assert decode_base64(spelling) == data

    def test_a_plus_at_the_end_may_arrive_as_a_space_and_outer_spaces_are_ignored(self) -> None:
        assert decode_base64(b"AAA ") == decode_base64(b"AAA+") == b"\0\0\x3e"
        assert decode_base64(b"  AAA+  ") == b"\0\0\x3e"
        assert decode_base64(b"YQ ") == decode_base64(b"YQ==  ") == b"a"

    @pytest.mark.parametrize(
        "prefix",
        [
            *(b"data:image/png;base64,", b"data:image/*;base64,", b"data:;base64,", b"DATA:Image/JPEG;BASE64,"),
            *(
                b"data:image/jpeg;charset=utf-8;base64,",
                b"data:image/jpeg;name=a.jpg;base64,",
                b"data:image/svg xml;base64,",
            ),
            *(b"data:image/png; base64,", b"data:image/png;\r\n base64 ,", b" \r\ndata:image/png;base64, "),
            *(b"data:application/octet-stream;base64,", b"data:text/plain;base64,", b"data:image/png;;base64,"),
            *(b'data:image/png;name="a,b;base64,c.png";base64,', b'data:image/png;name="\\"";base64,'),
            b"data:image/png;name=" + b"\xe5" * 990 + b";base64,",
        ],
    )
    def test_any_data_prefix_is_accepted(self, prefix: bytes) -> None:
        assert decode_base64(prefix + b"YWI=") == b"ab"

    @pytest.mark.parametrize(
        "text",
        [
            *(b"data:;xbase64,YWI=", b"data:base64,YWI=", b"xdata:;base64,YWI=", b"data:;base64;YWI=", b";base64,YWI="),
            b"data:;name=" + b"a" * MAX_DATA_PREFIX_BYTES + b";base64,YWI=",
            b"data:;base64,YWI=,YWI=",
            b"data:;base64,data:;base64",
        ],
    )
    def test_a_malformed_data_prefix_is_refused(self, text: bytes) -> None:
        with pytest.raises(InvalidRequest, match="img is not base64"):
            decode_base64(text)

    @given(st.binary(max_size=40).map(lambda noise: b"data:" + noise), st.binary(min_size=1, max_size=9))
    def test_a_prefix_is_read_or_refused(self, start: bytes, data: bytes) -> None:
        assert decode_base64(start.translate(None, b",") + b";base64," + base64.b64encode(data)) == data
        with suppress(InvalidRequest):
            decode_base64(start)

    @pytest.mark.parametrize("text", [b"", b"   ", b"====", b"data:image/png;base64,"])
    def test_base64_of_nothing_is_refused_as_empty(self, text: bytes) -> None:
        with pytest.raises(InvalidRequest, match="img is empty"):
            decode_base64(text)

    @pytest.mark.parametrize(
        "text", [b"a", b"ab!d", b"<svg>", b"\xff\xd8\xff\xe0", b"ab=d", b"data:image/png,YQ==", b"data:base64,YQ=="]
    )
    def test_other_text_is_refused(self, text: bytes) -> None:
        with pytest.raises(InvalidRequest, match="img is not base64"):
            decode_base64(text)

    def test_a_refusal_names_the_parameter(self) -> None:
        for text in (b"", b"!"):
            with pytest.raises(InvalidRequest, match="img2 is "):
                decode_base64(text, "img2")


class TestSeveralImages:
    IMAGE = bmp(4, 4)

    def test_every_image_is_checked(self) -> None:
        check_all([self.IMAGE, self.IMAGE], 16)
        for images in ([self.IMAGE, b"text"], [b"text", self.IMAGE]):
            with pytest.raises(ImageUnreadable):
                check_all(images, 16)
        with pytest.raises(ImageUnreadable):
            check_all([self.IMAGE, self.IMAGE], 15)

    def test_an_image_that_is_too_large_is_reported_before_one_of_another_format(self) -> None:
        with pytest.raises(ImageTooLarge):
            check_all([b"text", bytes(MAX_IMAGE_BYTES + 1)], 16)


class TestHeader:
    @given(st.integers(1, 5000), st.integers(1, 5000))
    def test_every_format_gives_kind_and_size(self, width: int, height: int) -> None:
        for kind, data in (
            ("png", png(width, height)),
            ("bmp", bmp(width, height)),
            ("bmp", bmp(width, -height)),  # rows from top to bottom
            ("bmp", old_bmp(width, height)),
            ("jpeg", jpeg(width, height)),
            ("jpeg", jpeg(width, height, frame=0xC2)),  # progressive
        ):
            header = check(data, PIXELS)
            assert (header.kind, header.width, header.height) == (kind, width, height)

    def test_a_jpeg_frame_is_found_behind_other_segments_and_fill_bytes(self) -> None:
        exif = b"\xff\xe1" + struct.pack(">H", 2 + 64) + b"\xff\xc0" * 32  # looks like a frame inside
        tables = b"\xff\xc4" + struct.pack(">H", 4) + b"\0\0"
        assert check(jpeg(7, 5, before=exif + b"\xff\xff" + tables), PIXELS).width == 7

    @pytest.mark.parametrize(
        "data",
        [
            b"GIF89a" + bytes(20),
            b"RIFF\0\0\0\0WEBPVP8 " + bytes(20),
            b"II*\0" + bytes(20),
            b"%PDF-1.7",
            b"hello, I am text",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8\xff\xda" + bytes(20),
            b"\xff\xd8\xff\xe0\x00\x04\x00\x00no marker here",
            b"\x89PNG\r\n\x1a\n" + bytes(16),
            png(3, 3)[:20],
            bmp(3, 3)[:20],
            b"BM",
            png(0, 5),
            bmp(-3, 5),
        ],
    )
    def test_other_data_is_unreadable(self, data: bytes) -> None:
        with pytest.raises(ImageUnreadable):
            check(data, PIXELS)

    @pytest.mark.parametrize(
        "before",
        [
            b"\xff\x01\x00\x04",
            b"\xff\xd0\x00\x04\x00\x00",
            b"\xff\xe1\x00\x01",
            b"\xff\xe1\x00\x00",
            b"\xff\xe1\x00\x04ab\x00\x00",
            b"\xff\xe1\x00\x04ab" * 2 + b"\x00\xe1\x00\x04ab",
            b"\xff\xe1\x00\x03ab",
            b"\xff\xe1\x00\x05ab\xff\xe1\x00\x04ab",
            b"\xff" * 1001,
            b"\xff\xef\x00\x02" * 998,
        ],
        ids=[
            "TEM",
            "RST",
            "length 1",
            "length 0",
            "two bytes too many",
            "a lost FF",
            "length one short",
            "length one long",
            "fill bytes",
            "998 segments",
        ],
    )
    def test_a_jpeg_frame_is_found_where_libjpeg_finds_it(self, before: bytes) -> None:
        data = jpeg(7, 5, before=before)
        assert check(data, PIXELS).width == 7

    def test_the_first_frame_counts_as_for_libjpeg(self) -> None:
        """Bytes that look like the content of a marker are a frame where the marker has no length, or one that is too
        short.
        """
        hidden = jpeg(60_000, 60_000)[2:-2]
        for before in (b"\xff\x01\x00\x13", b"\xff\xe1\x00\x02", b"\xff\xe1\x00\x02\x00"):
            with pytest.raises(ImageUnreadable, match="too many pixels"):
                check(jpeg(7, 5, before=before + hidden), PIXELS)

    @pytest.mark.parametrize(
        "before",
        [
            b"\xff\xd8\x00\x04\x00\x00",
            b"\x00",
            b"\xff\xf0\x00\x04\x00\x00",
            b"\xff\xda\x00\x04\x00\x00",
            b"\xff\xd9",
            b"\xff\xef\x00\x02" * 1000,
            b"\xff" * (MAX_SKIPPED_BYTES + 2),
            b"\xff\xef\x00\x02" + b"\xff\x00" * (MAX_SKIPPED_BYTES // 2 + 1),
            (b"\xff\xef\x00\x02" + bytes(3000)) * 100,
        ],
        ids=[
            "SOI",
            "no marker behind the start",
            "reserved marker",
            "scan",
            "end",
            "many segments",
            "many fill bytes",
            "much else",
            "much else, in pieces",
        ],
    )
    def test_a_frame_that_libjpeg_does_not_find_or_finds_only_after_much_work_is_refused(self, before: bytes) -> None:
        with pytest.raises(ImageUnreadable):
            check(jpeg(7, 5, before=before), PIXELS)

    @pytest.mark.parametrize("frame", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
    def test_lossless_hierarchical_and_arithmetic_jpegs_are_refused(self, frame: int) -> None:
        with pytest.raises(ImageUnreadable):
            check(jpeg(7, 5, frame=frame), PIXELS)

    def test_a_bmp_that_contains_another_format_is_refused(self) -> None:
        data = bytearray(bmp(7, 5))
        data[30] = 4
        with pytest.raises(ImageUnreadable):
            check(bytes(data), PIXELS)

    def test_a_decompression_bomb_is_recognised_by_its_header(self) -> None:
        with pytest.raises(ImageUnreadable, match="too many pixels"):
            check(png(60_000, 60_000), PIXELS)
        assert check(png(10_000, 5_000), PIXELS).width == 10_000
        with pytest.raises(ImageUnreadable):
            check(png(10_000, 5_001), PIXELS)

    def test_two_mebibytes_are_accepted_and_one_byte_more_is_refused(self) -> None:
        image = png(3, 3)
        assert check(image.ljust(MAX_IMAGE_BYTES, b"\0"), PIXELS)
        with pytest.raises(ImageTooLarge):
            check(image.ljust(MAX_IMAGE_BYTES + 1, b"\0"), PIXELS)

    def test_size_is_checked_before_format(self) -> None:
        with pytest.raises(ImageTooLarge):
            check(bytes(MAX_IMAGE_BYTES + 1), PIXELS)

    @given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b""]))
    def test_any_bytes_give_a_size_within_the_limit_or_are_unreadable(self, data: bytes, start: bytes) -> None:
        try:
            header = check(start + data, PIXELS)
        except ImageUnreadable:
            return
        assert 1 <= header.width * header.height <= PIXELS
