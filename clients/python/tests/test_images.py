"""Images in every form, to the bytes that are sent. Pictures are compared after an independent decoder (OpenCV)."""

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facesearch_client import ImageTooLarge, ImageUnreadable, Pixels
from facesearch_client.images import encoded
from facesearch_client.limits import MAX_IMAGE_BYTES

Picture = npt.NDArray[np.uint8]


def noise(width: int, height: int) -> Picture:
    """Return a picture that no format makes smaller: uint8 (H, W, 3)."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def smooth(width: int, height: int) -> Picture:
    """Return a picture that differs in every corner and channel: uint8 (H, W, 3)."""
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)
    planes = np.broadcast_arrays(across[None, :], down[:, None], 255 - across[None, :])
    return np.stack(planes, axis=2).astype(np.uint8)


def bmp(picture: Picture) -> bytes:
    return cv2.imencode(".bmp", picture)[1].tobytes()


def pillow_file(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> Picture:
    """Return the picture as the service sees it: uint8 (H, W, 3) BGR, upright."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def assert_similar(one: Picture, other: Picture, by: float = 3) -> None:
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).mean() < by


class TestFiles:
    def test_bytes_in_every_form_are_sent_as_they_are(self, tmp_path: Path) -> None:
        data = b"\xff\xd8\xff whatever"
        (tmp_path / "photo.jpg").write_bytes(data)
        with (tmp_path / "photo.jpg").open("rb") as file:
            for image in (data, bytearray(data), memoryview(data), file, io.BytesIO(data)):
                assert encoded(image, shrink=False) == data
        for path in (tmp_path / "photo.jpg", str(tmp_path / "photo.jpg")):
            assert encoded(path, shrink=False) == data

    def test_a_file_is_read_from_where_it_stands(self) -> None:
        file = io.BytesIO(b"before BM")
        file.seek(7)
        assert encoded(file, shrink=False) == b"BM"

    def test_too_large_a_file_is_refused_before_it_is_sent(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.bmp"
        path.write_bytes(bytes(MAX_IMAGE_BYTES))
        assert len(encoded(path, shrink=False)) == MAX_IMAGE_BYTES
        path.write_bytes(bytes(MAX_IMAGE_BYTES + 1))
        for image in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
            with pytest.raises(ImageTooLarge, match=r"more than 2097152 bytes.*shrink=True scales it down"):
                encoded(image, shrink=False)

    def test_a_missing_file_is_the_error_of_python(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            encoded(tmp_path / "none.jpg", shrink=False)

    @pytest.mark.parametrize("image", [None, 7, ["photo.jpg"], {"path": "photo.jpg"}])
    @pytest.mark.parametrize("shrink", [False, True])
    def test_what_is_no_image_is_refused(self, image: object, shrink: bool) -> None:
        with pytest.raises(TypeError, match="an image is a path, bytes, a file, an image of Pillow or Pixels, not "):
            encoded(image, shrink=shrink)  # type: ignore[arg-type]

    def test_a_text_file_is_refused(self) -> None:
        with pytest.raises(TypeError, match="must be open in binary mode"):
            encoded(io.StringIO("text"), shrink=False)  # type: ignore[arg-type]


class TestPixels:
    @given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
    def test_pixels_arrive_unchanged(self, picture: Picture) -> None:
        assert np.array_equal(decoded(encoded(Pixels(picture, "BGR"), shrink=False)), picture)
        assert np.array_equal(decoded(encoded(Pixels(picture, "RGB"), shrink=False)), picture[..., ::-1])

    @given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
    def test_grey_pixels_arrive_unchanged(self, picture: Picture) -> None:
        assert np.array_equal(decoded(encoded(Pixels(picture, "BGR"), shrink=False)), np.dstack([picture] * 3))

    def test_parts_and_transposed_arrays_arrive_unchanged(self) -> None:
        part = noise(40, 30)[5:20:2, 3:9].transpose(1, 0, 2)
        assert np.array_equal(decoded(encoded(Pixels(part, "BGR"), shrink=False)), part)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((4, 4, 1), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((1, 4, 4, 3), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
        ],
    )
    def test_other_arrays_are_refused(self, array: npt.NDArray) -> None:
        with pytest.raises(ValueError, match="pixels must be uint8 of the shape"):
            Pixels(array, "BGR")

    def test_another_order_is_refused(self) -> None:
        with pytest.raises(ValueError, match='channels must be "BGR" or "RGB", not'):
            Pixels(noise(2, 2), "GBR")  # type: ignore[arg-type]

    def test_an_array_without_an_order_is_refused(self) -> None:
        with pytest.raises(TypeError, match="does not tell the order of its channels"):
            encoded(noise(2, 2), shrink=False)  # type: ignore[arg-type]

    def test_too_many_pixels_are_refused(self) -> None:
        with pytest.raises(ImageTooLarge):
            encoded(Pixels(noise(900, 900), "BGR"), shrink=False)

    def test_pixels_are_not_shown(self) -> None:
        assert "array" not in repr(Pixels(noise(2, 2), "BGR"))


class TestPillow:
    @pytest.mark.parametrize("shrink", [False, True])
    def test_an_image_is_sent_as_a_jpeg(self, shrink: bool) -> None:
        picture = smooth(60, 40)
        data = encoded(PIL.Image.fromarray(picture[..., ::-1].copy()), shrink=shrink)
        assert data.startswith(b"\xff\xd8\xff")
        assert_similar(decoded(data), picture)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "YCbCr", "I", "F", "HSV"])
    def test_images_of_every_mode_are_sent(self, mode: str) -> None:
        image = PIL.Image.fromarray(smooth(60, 40)).convert("L" if mode in "IF" else "RGB").convert(mode)
        data = encoded(image, shrink=False)
        assert_similar(decoded(data), np.asarray(image.convert("RGB"))[..., ::-1], by=4)

    def test_a_palette_is_sent_as_its_colours(self) -> None:
        image = PIL.Image.fromarray(smooth(60, 40)).convert("P", palette=PIL.Image.Palette.ADAPTIVE)
        assert_similar(decoded(encoded(image, shrink=False)), np.asarray(image.convert("RGB"))[..., ::-1], by=8)

    def test_sixteen_bits_become_eight(self) -> None:
        grey = (np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64)
        data = encoded(PIL.Image.fromarray(grey), shrink=False)
        assert_similar(decoded(data)[..., 0], (grey >> 8).astype(np.uint8))

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("shrink", [False, True])
    def test_an_opened_photo_is_turned_upright(self, orientation: int, shrink: bool) -> None:
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        data = pillow_file(PIL.Image.fromarray(smooth(64, 48)), "JPEG", exif=exif.tobytes(), quality=95)
        with PIL.Image.open(io.BytesIO(data)) as image:
            sent = encoded(image, shrink=shrink)
        assert b"Exif" not in sent
        assert_similar(decoded(sent), decoded(data), by=4)

    def test_too_large_an_image_is_refused(self) -> None:
        with pytest.raises(ImageTooLarge):
            encoded(PIL.Image.fromarray(noise(1800, 1800)), shrink=False)
        with pytest.raises(ImageUnreadable, match="no JPEG has sides"):
            encoded(PIL.Image.new("L", (70_000, 1)), shrink=False)


class TestShrinking:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
    def test_an_image_that_the_service_takes_is_unchanged(self, kind: str) -> None:
        data = pillow_file(PIL.Image.fromarray(smooth(300, 200)), kind)
        assert encoded(data, shrink=True) == data

    def test_a_file_at_the_limit_is_unchanged_and_one_beyond_it_is_not(self) -> None:
        data = pillow_file(PIL.Image.fromarray(smooth(300, 200)), "JPEG")
        at_limit = data.ljust(MAX_IMAGE_BYTES, b"\0")
        assert encoded(at_limit, shrink=True) == at_limit
        shrunk = encoded(at_limit + b"\0", shrink=True)
        assert len(shrunk) < MAX_IMAGE_BYTES
        assert_similar(decoded(shrunk), decoded(data))

    @given(st.integers(1, 200), st.integers(1, 200))
    def test_a_picture_is_never_enlarged(self, width: int, height: int) -> None:
        sent = encoded(Pixels(noise(width, height), "BGR"), shrink=True)
        assert decoded(sent).shape == (height, width, 3)

    @pytest.mark.parametrize(("width", "height"), [(2400, 1600), (1000, 3000), (3000, 1000)])
    @pytest.mark.parametrize("form", ["file", "pixels", "pillow"])
    def test_too_large_a_picture_fits_with_nearly_as_many_bytes_and_its_shape(
        self, width: int, height: int, form: str
    ) -> None:
        picture = noise(width, height)
        image = {
            "file": bmp(picture),
            "pixels": Pixels(picture, "BGR"),
            "pillow": PIL.Image.fromarray(picture[..., ::-1].copy()),
        }[form]
        sent = encoded(image, shrink=True)
        assert 0.6 * MAX_IMAGE_BYTES < len(sent) <= MAX_IMAGE_BYTES
        rows, columns = decoded(sent).shape[:2]
        assert columns / rows == pytest.approx(width / height, rel=0.01)
        assert columns < width

    def test_a_large_lossless_file_keeps_its_pixels_if_they_fit_as_a_jpeg(self) -> None:
        picture = smooth(1200, 800)
        assert_similar(decoded(encoded(bmp(picture), shrink=True)), picture)

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_a_large_photo_is_turned_upright(self, orientation: int) -> None:
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        small = pillow_file(PIL.Image.fromarray(smooth(64, 48)), "JPEG", exif=exif.tobytes(), quality=95)
        sent = encoded(small.ljust(MAX_IMAGE_BYTES + 1, b"\0"), shrink=True)
        assert b"Exif" not in sent
        assert_similar(decoded(sent), decoded(small), by=4)

    def test_more_pixels_than_the_service_takes_are_fewer_afterwards(self) -> None:
        data = pillow_file(PIL.Image.new("L", (10_000, 6_000), 128), "JPEG", quality=10)
        assert len(data) < MAX_IMAGE_BYTES
        rows, columns = decoded(encoded(data, shrink=True)).shape[:2]
        assert 0.99 * 50_000_000 < rows * columns <= 50_000_000

    def test_sides_that_no_jpeg_has_are_shorter_afterwards(self) -> None:
        sent = decoded(encoded(PIL.Image.new("L", (131_000, 10), 128), shrink=True))
        assert sent.shape == (5, 65_500, 3)

    def test_a_kind_that_the_service_does_not_take_becomes_a_jpeg(self) -> None:
        picture = PIL.Image.fromarray(smooth(60, 40))
        sent = encoded(pillow_file(picture, "WEBP", lossless=True), shrink=True)
        assert sent.startswith(b"\xff\xd8\xff")
        assert_similar(decoded(sent), smooth(60, 40)[..., ::-1])

    def test_what_pillow_does_not_know_is_left_to_the_service(self) -> None:
        assert encoded(b"no image", shrink=True) == b"no image"
        with pytest.raises(ImageTooLarge):
            encoded(bytes(MAX_IMAGE_BYTES + 1), shrink=True)

    def test_a_large_file_that_is_cut_off_is_unreadable(self) -> None:
        with pytest.raises(ImageUnreadable, match="cannot be decoded"):
            encoded(bmp(noise(1000, 1000))[: MAX_IMAGE_BYTES + 100], shrink=True)

    def test_more_pixels_than_pillow_decodes_are_unreadable(self) -> None:
        header = bmp(noise(2, 2))[:18] + (20_000).to_bytes(4, "little") * 2 + bmp(noise(2, 2))[26:]
        with pytest.raises(ImageUnreadable, match="more pixels than Pillow decodes"):
            encoded(header.ljust(MAX_IMAGE_BYTES + 1, b"\0"), shrink=True)

    def test_without_pillow_the_error_says_what_to_install(self) -> None:
        script = (
            "import sys; sys.modules['PIL'] = None\n"
            "from facesearch_client.images import encoded\n"
            "assert encoded(b'BM', shrink=False) == b'BM'\n"
            "try: encoded(b'BM', shrink=True)\n"
            "except ImportError as error: print(error)\n"
        )
        source = Path(__file__).parents[1] / "src"
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
        )
        assert done.stdout == "shrink=True needs Pillow: pip install 'facesearch-client[shrink]'\n"
