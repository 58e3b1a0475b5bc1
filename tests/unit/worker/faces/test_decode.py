import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.images import check
from hostile import DECODED
from hostile_images import IMAGES, part
from image_parts import PNG_START, chunk, frame_at, ihdr, photo_png, with_chunk, written
from portraits import astronaut_png, bmp, hopper_jpeg, jpeg, oriented, pixels, png
from shared.errors import ContractError, ImageUnreadable
from worker.faces.decode import configure_opencv, decode


@pytest.fixture(scope="module", autouse=True)
def quiet():
    configure_opencv()


def gradient(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, 128 + 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("encode", [png, bmp, jpeg, lambda image: jpeg(image, progressive=True)])
def test_formats(encode):
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
def test_everything_becomes_8_bit_bgr(image):
    got = decode(png(image))
    assert got.shape == (40, 30, 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 0], gradient(40, 30)[..., 0])


def test_palette_and_cmyk():
    pillow = pytest.importorskip("PIL.Image", reason="comes with matplotlib")
    import io  # noqa: PLC0415 - with Pillow only

    source = pillow.fromarray(gradient(40, 30)[..., ::-1])
    for converted, form in (
        (source.quantize(256), "PNG"),
        (source.convert("CMYK"), "JPEG"),
        (source.convert("1"), "PNG"),
    ):
        stream = io.BytesIO()
        converted.save(stream, form)
        assert decode(stream.getvalue()).shape == (40, 30, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    image = gradient(48, 80)
    np.testing.assert_allclose(decode(oriented(image, orientation)).astype(int), image, atol=6)


@pytest.mark.parametrize(("longest", "expected"), [(1279, 1279), (1280, 640), (2559, 1280), (2560, 640), (4000, 1000)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tall", [False, True])
def test_large_jpegs_come_smaller(longest, expected, progressive, tall):
    image = gradient(longest, 200) if tall else gradient(200, longest)
    got = decode(jpeg(image, progressive=progressive))
    assert max(got.shape[:2]) == expected


@pytest.mark.parametrize("encode", [png, bmp])
def test_large_pngs_and_bmps_do_not(encode):
    assert decode(encode(gradient(100, 3000))).shape == (100, 3000, 3)


def test_reduced_and_turned():
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
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_cut_off_anywhere_is_refused(name, data):
    whole = ENCODED[name]
    length = data.draw(st.one_of(st.integers(0, len(whole) - 1), st.integers(len(whole) - 20, len(whole) - 1)))
    with pytest.raises(ImageUnreadable):
        decode(whole[:length])


def test_cut_off_after_a_scan_is_refused():
    whole = ENCODED["progressive"]
    scans = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans:
        with pytest.raises(ImageUnreadable):
            decode(whole[:scan])


@pytest.mark.parametrize("name", ENCODED)
def test_bytes_after_the_end_do_not_matter(name):
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
def test_anything_else_is_refused(data):
    with pytest.raises(ImageUnreadable):
        decode(data)


@pytest.mark.parametrize("prefix", [b"", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n", b"BM"])
@settings(max_examples=50, deadline=None)
@given(rest=st.binary(max_size=300))
def test_noise_is_refused(prefix, rest):
    with pytest.raises(ImageUnreadable):
        decode(prefix + rest)


def test_a_damaged_png_is_refused():
    damaged = bytearray(astronaut_png())
    damaged[len(damaged) // 2] ^= 0x55
    with pytest.raises(ImageUnreadable):
        decode(bytes(damaged))


@pytest.mark.parametrize("item", IMAGES, ids=str)
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


@pytest.mark.parametrize("name", ["jpeg", "reduced", "grey", "cmyk", "restarts"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_baseline_jpeg_that_is_cut_off_and_closed_again_is_refused(name, share):
    with pytest.raises(ImageUnreadable):
        decode(part(share, ENCODED[name], b"\xff\xd9"))


def test_a_progressive_jpeg_that_lacks_scans_is_refused():
    whole = ENCODED["progressive"]
    scans = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    for scan in scans:
        with pytest.raises(ImageUnreadable):
            decode(whole[:scan] + b"\xff\xd9")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grey_wall_is_no_cut(orientation):
    """The last blocks are the colour that libjpeg puts where data is missing."""
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
            decode(part(0.7, oriented(pixels(astronaut_png()), orientation), b"\xff\xd9"))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pngs_are_the_same_without_what_is_dropped(mode):
    import io  # noqa: PLC0415

    from PIL import Image as Pillow  # noqa: PLC0415

    source = Pillow.fromarray(gradient(40, 30)[..., ::-1])
    stream = io.BytesIO()
    (source.quantize(64) if mode == "P" else source.convert(mode)).save(stream, "PNG", dpi=(72, 72))
    data = stream.getvalue()
    extra = chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"tEXt", b"a\0b") + chunk(b"zTXt", b"a\0\0broken")
    np.testing.assert_array_equal(decode(with_chunk(data, extra)), pixels(data))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 17), (33, 2), (70, 50)])
def test_interlaced_pngs(size):
    """Written by hand: each of the seven images has rows of its own."""
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


def test_a_png_turned_by_its_exif_is_turned():
    block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    assert decode(with_chunk(png(gradient(20, 30)), chunk(b"eXIf", block))).shape == (30, 20, 3)


def test_a_large_png_photo_is_itself():
    np.testing.assert_array_equal(decode(photo_png()), pixels(photo_png()))


def test_two_frames_of_different_size_are_refused():
    data = hopper_jpeg()
    at = frame_at(data)
    frame = bytearray(data[at : at + 19])
    frame[5:9] = b"\xff\xdc\xff\xdc"
    for hostile in (data[:at] + bytes(frame) + data[at:], data[: at + 19] + bytes(frame) + data[at + 19 :]):
        with pytest.raises(ImageUnreadable):
            decode(hostile)


@pytest.mark.parametrize("name", ENCODED)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_mutation_is_an_image_or_refused(name, data):
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
