import io
import re
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from gateway.body.encoded_images import check
from hostile import DECODED
from hostile_images import EOI, IMAGES, truncated
from image_parts import (
    PNG_START,
    behind_start,
    chunk,
    flat_png,
    frame_at,
    ihdr,
    ink,
    many_scans,
    oddly_sampled,
    photo_png,
    segment,
    segments_of,
    with_chunk,
    written,
)
from portraits import astronaut_png, bmp, hopper_jpeg, jpeg, oriented, pixels, png
from shared.errors import ContractError, ImageUnreadable
from worker.vision.decode import configure_opencv, decode


@pytest.fixture(scope="module", autouse=True)
def quiet():
    configure_opencv()


def gradient(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, 128 + 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("encode", [png, bmp, jpeg, lambda image: jpeg(image, progressive=True)])
def test_every_format_is_decoded(encode):
    image = gradient(50, 70)
    got = decode(encode(image))
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got.astype(int), image, atol=6)


@pytest.mark.parametrize(
    "image",
    [
        gradient(40, 30)[..., 0],
        np.dstack([gradient(40, 30), np.full((40, 30), 9, np.uint8)]),
        gradient(40, 30).astype(np.uint16) * 257,
    ],
    ids=["grey", "alpha", "16 bit"],
)
def test_every_depth_becomes_8_bit_bgr(image):
    got = decode(png(image))
    assert got.shape == (40, 30, 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 0], gradient(40, 30)[..., 0])


def test_palettes_and_bilevel_images():
    source = Pillow.fromarray(gradient(40, 30)[..., ::-1])
    for converted in (source.quantize(256), source.convert("1")):
        stream = io.BytesIO()
        converted.save(stream, "PNG")
        expected = np.asarray(converted.convert("RGB"))[..., ::-1]
        np.testing.assert_array_equal(decode(stream.getvalue()), expected)


@pytest.mark.parametrize(
    ("adobe", "bgr"),
    [
        (None, (50, 100, 200)),
        (0, (50, 100, 200)),
        # YCCK stores CMYK inverted, as YCbCr: Y 200, Cb 100, Cr 50.
        (2, (255 - (200 + 1.772 * (100 - 128)), 255 - (200 - 0.344 * (100 - 128) - 0.714 * (50 - 128)), 164.4)),
    ],
    ids=["no Adobe marker", "CMYK", "YCCK"],
)
@pytest.mark.parametrize("size", [16, 1280])
def test_cmyk_is_read_as_inverted_as_in_browsers(adobe, bgr, size):
    """A stored cyan of 200 is 55 of 255 parts of ink, with or without an Adobe marker; black is multiplied."""
    planes = np.full((size, 24, 4), (200, 100, 50, 204), np.uint8)
    expected = np.clip(bgr, 0, 255) * 204 / 255
    image = decode(ink(planes, adobe=adobe))
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), atol=2)


def test_unusual_chroma_subsampling():
    """Y 150, Cb 90, Cr 170 in a subsampling that only OpenCV decodes."""
    image = decode(oddly_sampled(np.full((16, 24, 4), (150, 90, 170, 128), np.uint8)))
    expected = 150 + 1.772 * (90 - 128), 150 - 0.344 * (90 - 128) - 0.714 * (170 - 128), 150 + 1.402 * (170 - 128)
    np.testing.assert_allclose(image, np.broadcast_to(expected, (16, 48, 3)), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    image = gradient(48, 80)
    np.testing.assert_allclose(decode(oriented(image, orientation)).astype(int), image, atol=6)


@pytest.mark.parametrize(("longest", "expected"), [(1279, 1279), (1280, 640), (2559, 1280), (2560, 640), (4000, 1000)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tall", [False, True])
def test_large_jpegs_are_decoded_at_a_reduced_size(longest, expected, progressive, tall):
    image = gradient(longest, 200) if tall else gradient(200, longest)
    got = decode(jpeg(image, progressive=progressive))
    assert max(got.shape[:2]) == expected


@pytest.mark.parametrize("encode", [png, bmp])
def test_large_pngs_and_bmps_are_decoded_in_full_size(encode):
    assert decode(encode(gradient(100, 3000))).shape == (100, 3000, 3)


def exif_of(order, *entries):
    """Return an EXIF block with entries of (tag, kind, count, value) in one byte order."""
    directory = b"".join(struct.pack(order + "HHIHH", *entry, 0) for entry in entries)
    start = {">": b"MM\0*", "<": b"II*\0"}[order]
    return b"Exif\0\0" + start + struct.pack(order + "IH", 8, len(entries)) + directory + bytes(4)


@pytest.mark.parametrize(
    "blocks",
    [
        [exif_of(">", (0x112, 3, 1, 6))],
        [exif_of("<", (0x112, 3, 1, 6))],
        [exif_of("<", (0x100, 3, 1, 9), (0x112, 3, 1, 8))],
        [exif_of("<", (0x112, 4, 1, 5))],
        [exif_of(">", (0x112, 3, 1, 3), (0x112, 3, 1, 6))],
        [b"http://ns.adobe.com/xap/1.0/\0<x/>", exif_of(">", (0x112, 3, 1, 7))],
        [exif_of(">", (0x112, 3, 1, 6)), exif_of(">", (0x112, 3, 1, 1))],
        [exif_of(">", (0x112, 3, 1, 9)), exif_of(">", (0x112, 3, 1, 6))],
        [b"Exif\0\0", exif_of(">", (0x112, 3, 1, 6))],
        [exif_of(">", (0x112, 3, 1, 6))[:20]],
        [exif_of(">", (0x112, 3, 1, 6))[:24]],
    ],
)
def test_orientation_is_read_as_opencv_reads_it(blocks):
    data = behind_start(jpeg(gradient(16, 32)), b"".join(segment(0xE1, block) for block in blocks))
    np.testing.assert_array_equal(decode(data), pixels(data))


def test_a_reduced_photo_is_rotated():
    image = gradient(1000, 1400)
    assert decode(oriented(image, 6)).shape == (500, 700, 3)


ENCODED = {
    "jpeg": jpeg(pixels(astronaut_png())),
    "progressive": jpeg(pixels(astronaut_png()), progressive=True),
    "reduced": jpeg(gradient(900, 1300)),
    "grey": jpeg(pixels(astronaut_png())[..., 0]),
    "exif": oriented(gradient(60, 80), 6),
    "png": astronaut_png(),
    "bmp": bmp(gradient(60, 80)),
}


@pytest.mark.parametrize("name", ENCODED)
@settings(max_examples=30)
@given(data=st.data())
def test_a_truncated_image_is_refused(name, data):
    whole = ENCODED[name].removesuffix(EOI)
    length = data.draw(st.one_of(st.integers(0, len(whole) - 1), st.integers(len(whole) - 20, len(whole) - 1)))
    with pytest.raises(ImageUnreadable):
        decode(whole[:length])


def test_a_progressive_jpeg_truncated_after_a_scan_is_refused():
    whole = ENCODED["progressive"]
    scans = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans:
        with pytest.raises(ImageUnreadable):
            decode(whole[:scan])


@pytest.mark.parametrize("name", ENCODED)
def test_bytes_after_the_end_are_ignored(name):
    np.testing.assert_array_equal(decode(ENCODED[name] + b"\xff\xd8\xff trailing"), decode(ENCODED[name]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(100),
        b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(100),
        b"II*\0" + bytes(100),
        b"%PDF-1.7",
        b"plain text",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"BM" + bytes(100),
        hopper_jpeg()[:200] + b"\xff\xd9",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_other_data_is_refused(data):
    with pytest.raises(ImageUnreadable):
        decode(data)


@pytest.mark.parametrize("prefix", [b"", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n", b"BM"])
@settings(max_examples=50)
@given(rest=st.binary(max_size=300))
def test_noise_is_refused(prefix, rest):
    with pytest.raises(ImageUnreadable):
        decode(prefix + rest)


def test_a_damaged_png_is_refused():
    damaged = bytearray(astronaut_png())
    damaged[len(damaged) // 2] ^= 0x55
    with pytest.raises(ImageUnreadable):
        decode(bytes(damaged))


LARGE = re.compile(r"megapixels|20000x20000|1 GB|a million runs|[0-9]{3} MB")
"""Matches names of hostile images that take long to make or to decode."""


@pytest.mark.parametrize(
    "item",
    [pytest.param(item, marks=pytest.mark.slow if LARGE.search(item.name) else (), id=str(item)) for item in IMAGES],
)
def test_hostile_images_get_their_answer(item):
    data = item.make()
    answer = DECODED
    try:
        header = check(data, 50_000_000)
        image = decode(data)
    except ContractError as error:
        answer = error.status.value
    else:
        shrunk = max(header.width, header.height) / max(image.shape[:2])
        assert shrunk <= 4.1, "the gateway bounds what the worker decodes"
    assert answer == item.answer


ENCODED["cmyk"] = written("JPEG", "CMYK")
ENCODED["restarts"] = cv2.imencode(".jpg", pixels(astronaut_png()), [cv2.IMWRITE_JPEG_RST_INTERVAL, 8])[1].tobytes()


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 4), np.uint8)
ENCODED["oddly sampled"] = oddly_sampled(NOISE)
IN_ONE_SCAN = ("jpeg", "reduced", "grey", "cmyk", "restarts", "exif", "oddly sampled")


@pytest.mark.parametrize("name", IN_ONE_SCAN)
@settings(max_examples=40)
@given(data=st.data())
def test_a_truncated_baseline_jpeg_with_an_end_marker_is_refused(name, data):
    """The cuts range from an empty scan to one byte too few."""
    whole = ENCODED[name].removesuffix(EOI)
    _, scan = segments_of(whole)[-1]
    length = data.draw(st.integers(scan, len(whole) - 1) | st.integers(len(whole) - 20, len(whole) - 1))
    with pytest.raises(ImageUnreadable):
        decode(whole[:length] + EOI)


@pytest.mark.parametrize("missing", [1, 2, 30, 1000])
@pytest.mark.parametrize("behind", [b"", bytes(50), b"\xff\xd5"], ids=["", "zeros behind the last", "a mark behind it"])
def test_a_progressive_jpeg_with_a_truncated_scan_and_an_end_marker_is_refused(missing, behind):
    whole = ENCODED["progressive"]
    scans = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    for end in (*scans[1:], len(whole) - 2):
        # Tables precede the header of the next scan.
        scan = whole.rfind(b"\xff\xda", 0, end)
        table = whole.find(b"\xff\xc4", scan, end)
        closed = table if table > 0 else end
        cut = whole[: max(closed - missing, scan + 14)] + whole[closed:]
        if end < len(whole) - 2:  # zeros after the last scan would complete it
            cut = cut.removesuffix(EOI) + behind + EOI
        with pytest.raises(ImageUnreadable):
            decode(cut)


ENCODED["large restarts"] = cv2.imencode(".jpg", gradient(900, 1300), [cv2.IMWRITE_JPEG_RST_INTERVAL, 8])[1].tobytes()
ENCODED["progressive restarts"] = written("JPEG", progressive=True, restart_marker_rows=2)

NO_CODES = b"\xff\x00" * 64
ALL_MARKS = b"".join(bytes((0xFF, mark)) for mark in range(0xD0, 0xD8))
BEHIND_A_CUT = {
    "no codes": NO_CODES,
    "zeros": bytes(64),
    "a mark": ALL_MARKS[:2],
    "marks": ALL_MARKS,
    "no codes, then marks": NO_CODES + ALL_MARKS,
    "marks, then no codes": ALL_MARKS + NO_CODES + bytes(9),
    "no codes, then TEM": NO_CODES + b"\xff\xff\1" + bytes(9),
    "half a mark": b"\xff",
    "a comment": b"\xff\xfe\0\4ab",
}
ENCODED["large oddly sampled"] = oddly_sampled(np.random.default_rng(2).integers(0, 256, (256, 256, 4), np.uint8))
LARGE_ENOUGH = ("jpeg", "reduced", "grey", "cmyk", "restarts", "progressive", "large restarts", "large oddly sampled")
"""Images so large that the bytes after a cut cannot replace the missing data."""


@pytest.mark.parametrize("name", LARGE_ENOUGH)
@pytest.mark.parametrize("behind", BEHIND_A_CUT.values(), ids=BEHIND_A_CUT)
@settings(max_examples=10)
@given(share=st.floats(0, 0.95))
def test_a_cut_is_found_whatever_else_libjpeg_warns_of(name, behind, share):
    """Only the first warning of libjpeg is reported: of invalid codes, of bytes before a marker, of a marker out of
    order. The added bytes may be decoded as some blocks, but not as a twentieth of the picture.
    """
    whole = ENCODED[name].removesuffix(EOI)
    _, scan = segments_of(whole)[-1]
    with pytest.raises(ImageUnreadable):
        decode(whole[: scan + int(share * (len(whole) - scan))] + behind + EOI)


@pytest.mark.parametrize("name", [*IN_ONE_SCAN, "progressive"])
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(40), b"\xff\xfe\xff\xff cut off"], ids=repr)
def test_a_jpeg_with_whole_scans_needs_no_end_marker(name, end):
    whole = ENCODED[name]
    assert whole.endswith(EOI)
    np.testing.assert_array_equal(decode(whole[:-2] + end), decode(whole))


def test_a_progressive_jpeg_without_all_scans_is_refused():
    whole = ENCODED["progressive"]
    scans = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    for scan in scans:
        with pytest.raises(ImageUnreadable):
            decode(whole[:scan] + b"\xff\xd9")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_plain_grey_area_is_not_taken_for_a_cut(orientation):
    """The last blocks have the colour with which libjpeg fills missing data."""
    image = pixels(astronaut_png()).copy()
    image[300:] = 128
    image[:, 400:] = 128
    for size in (40, 100, 130, 512, 1400, 3000):
        resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST)
        decode(oriented(resized, orientation))
        decode(jpeg(resized[..., 0]))
    decode(jpeg(np.full((64, 64, 3), 128, np.uint8)))


def test_a_cut_is_found_in_every_orientation():
    for orientation in range(1, 9):
        with pytest.raises(ImageUnreadable):
            decode(truncated(0.7, oriented(pixels(astronaut_png()), orientation), b"\xff\xd9"))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_dropped_chunks_do_not_change_a_png(mode):
    source = Pillow.fromarray(gradient(40, 30)[..., ::-1])
    stream = io.BytesIO()
    (source.quantize(64) if mode == "P" else source.convert(mode)).save(stream, "PNG", dpi=(72, 72))
    data = stream.getvalue()
    extra = chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"tEXt", b"a\0b") + chunk(b"zTXt", b"a\0\0broken")
    np.testing.assert_array_equal(decode(with_chunk(data, extra)), pixels(data))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 17), (33, 2), (70, 50)])
def test_interlaced_pngs(size):
    """The image is assembled here: each of the seven passes has rows of its own."""
    import zlib  # noqa: PLC0415

    width, height = size
    image = gradient(height, width)
    rows = b""
    for x, y, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        for row in image[y::down, x::across, ::-1]:
            rows += b"\0" + row.tobytes() if row.size else b""
    data = PNG_START + ihdr(width, height, interlaced=1) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")
    np.testing.assert_array_equal(decode(data), image)


def test_a_png_is_rotated_by_its_exif_orientation():
    block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    assert decode(with_chunk(png(gradient(20, 30)), chunk(b"eXIf", block))).shape == (30, 20, 3)


def test_a_large_png_photo_is_decoded_exactly():
    np.testing.assert_array_equal(decode(photo_png()), pixels(photo_png()))


def test_two_frames_of_different_sizes_are_refused():
    data = hopper_jpeg()
    at = frame_at(data)
    frame = bytearray(data[at : at + 19])
    frame[5:9] = b"\xff\xdc\xff\xdc"
    for hostile in (data[:at] + bytes(frame) + data[at:], data[: at + 19] + bytes(frame) + data[at + 19 :]):
        with pytest.raises(ImageUnreadable):
            decode(hostile)


@pytest.mark.parametrize("name", ENCODED)
@settings(max_examples=60)
@given(data=st.data())
def test_any_mutation_is_refused_or_has_the_size_that_the_gateway_read(name, data):
    mutated = bytearray(ENCODED[name])
    near = st.integers(0, min(700, len(mutated) - 1)) | st.integers(0, len(mutated) - 1)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(near)
        match data.draw(st.sampled_from(["flip", "delete", "insert", "double"])):
            case "flip":
                mutated[at % len(mutated)] ^= data.draw(st.integers(1, 255))
            case "delete":
                del mutated[at : at + data.draw(st.integers(1, 50))]
            case "insert":
                mutated[at:at] = data.draw(st.binary(min_size=1, max_size=9))
            case _:
                mutated[at:at] = mutated[at : at + data.draw(st.integers(1, 200))]
        if not mutated:
            return
    try:
        header = check(bytes(mutated), 4_000_000)
        image = decode(bytes(mutated))
    except ImageUnreadable:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    height, width = image.shape[:2]
    for scale in (1, 2, 4):
        if {-(-header.width // scale), -(-header.height // scale)} == {width, height}:
            return
    pytest.fail(f"gateway saw {header}, worker {image.shape}")


LENIENT = {
    name: ENCODED[name] for name in ("jpeg", "progressive", "grey", "exif", "restarts", "cmyk", "oddly sampled")
} | {"photo": hopper_jpeg()}
RIGHT = {name: pixels(data) for name, data in LENIENT.items()}


def damaged(data, whole):
    """Return a JPEG with bytes between its segments, missing FFs, and lengths that are off by one or two."""
    out = whole[:2]
    for start, end in segments_of(whole):
        part_ = bytearray(whole[start:end])
        match data.draw(st.sampled_from(["keep", "keep", "junk", "lost", "length"])):
            case "junk" if start > 2:
                out += data.draw(st.binary(max_size=6) | st.just(b"\xff" * 3) | st.just(b"\xff\x00\xff\xd3\x01"))
            case "lost" if start > 2:
                part_[0] = 0
            case "length":
                off = data.draw(st.sampled_from([-2, -1, 1, 2]))
                part_[2:4] = struct.pack(">H", max(0, int.from_bytes(part_[2:4], "big") + off))
        out += bytes(part_)
    return out + whole[segments_of(whole)[-1][1] :]


@pytest.mark.parametrize("name", LENIENT)
@settings(max_examples=60)
@given(data=st.data())
def test_a_jpeg_with_damaged_segments_is_decoded_as_libjpeg_does_or_refused(name, data):
    """An image that libjpeg decodes correctly is accepted; an accepted image has the picture and size of libjpeg."""
    hurt = damaged(data, LENIENT[name])
    theirs = pixels(hurt)
    right = theirs is not None and np.array_equal(theirs, RIGHT[name])
    try:
        header = check(hurt, 50_000_000)
        ours = decode(hurt)
    except ImageUnreadable:
        assert not right, "libjpeg decodes it"
        return
    assert theirs is not None
    stored = cv2.imdecode(np.frombuffer(hurt, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert stored.shape == (header.height, header.width, 3)
    np.testing.assert_array_equal(ours, theirs)


def test_an_error_after_a_warning_is_an_error():
    """A table and the first scan are missing: libjpeg warns of the scan, and then fails for lack of a table."""
    hurt = bytearray(ENCODED["progressive"])
    starts = [start for start, _ in segments_of(bytes(hurt)) if hurt[start + 1] in (0xDB, 0xDA)]
    for start in starts[1:]:
        hurt[start] = 0
    assert pixels(bytes(hurt)) is None
    with pytest.raises(ImageUnreadable):
        decode(bytes(hurt))


@pytest.mark.parametrize(
    "name", ["jpeg", "reduced", "cmyk", "exif", "progressive", "restarts", "large restarts", "progressive restarts"]
)
def test_images_with_harmless_warnings_of_libjpeg_are_accepted(name):
    """The warnings are of zeros after the data and of an unknown version of JFIF."""
    whole = ENCODED[name]
    for odd in (whole[:-2] + bytes(50) + EOI, whole.replace(b"JFIF\0\1", b"JFIF\0\3")):
        np.testing.assert_array_equal(decode(odd), decode(whole))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"\xff\xfe", b"\0\0\xff\xfe"),
        (b"\xff\xfe", b"\0\xfe"),
        (b"\xff\xfe\0\x0c", b"\xff\xfe\0\x0b"),
        (b"\xff\xfe\0\x0c", b"\xff\xfe\0\x0a"),
        (b"\xff\xfe\0\x0c", b"\xff\xfe\0\x0d"),
        (b"\xff\xfe\0\x0c", b"\xff\xfe\0\x0e"),
    ],
    ids=["two bytes before it", "no FF", "one short", "two short", "one long", "two long"],
)
def test_segments_as_damaged_by_phones_and_old_cameras_are_accepted(was, becomes):
    """Two comments precede the essential segments: if the length of the first is too large, only the second is lost."""
    comments = segment(0xFE, b"a  comment") * 2
    whole = written("JPEG")
    _, end = segments_of(whole)[0]
    data = whole[:end] + comments.replace(was, becomes, 1) + whole[end:]
    assert data != whole
    assert check(data, 50_000_000) == check(whole, 50_000_000)
    np.testing.assert_array_equal(decode(data), decode(whole))


@pytest.mark.parametrize("encode", [png, bmp, jpeg])
def test_an_image_of_more_pixels_than_the_limit_is_refused(encode):
    data = encode(gradient(30, 40))
    assert decode(data, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        decode(data, max_pixels=1199)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: flat_png(7200, 7200), (7200, 7200, 3)),
        (lambda: flat_png(7200, 7200, 8, 6), (7200, 7200, 3)),
        (lambda: many_scans(3200, 3200, 64), (800, 800, 3)),
    ],
    ids=["52 megapixels", "207 MB of image data", "64 scans of 10 megapixels"],
)
def test_a_higher_limit_accepts_larger_images(make, shape):
    """With 60 million pixels instead of 50, the limits of image data and of scans rise as well."""
    data = make()
    with pytest.raises(ImageUnreadable):
        decode(data)
    assert decode(data, max_pixels=60_000_000).shape == shape


def test_a_lower_limit_accepts_small_images_of_high_depth():
    data = png(np.full((100, 100, 4), 40_000, np.uint16))
    assert decode(data, max_pixels=10_000).shape == (100, 100, 3)
