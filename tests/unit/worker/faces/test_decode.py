import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraits import astronaut_png, bmp, hopper_jpeg, jpeg, oriented, pixels, png
from shared.errors import ImageUnreadable
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
