"""Photos that are larger than the service takes are made smaller, and stay the same photos."""

from collections.abc import Collection

import cv2
import numpy as np
import pytest

from facesearch.bulk.journal import photo_id
from facesearch.bulk.loading import Loader
from facesearch.bulk.photos import MAX_SHRUNK_BYTES, Photo, Unusable, too_large
from facesearch.bulk.shrinking import shrunk
from image_parts import exif
from portraits import Image, hopper_jpeg, pixels, png
from shared.contract import MAX_IMAGE_BYTES
from shared.imagefile.header import kind_of

MOST = 20_000


def turned(orientation: int) -> bytes:
    """Return the EXIF of a photo that was taken with a turned camera."""
    return b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + b"\0\0\0\0"


def difference(before: Image, after: Image) -> float:
    """Return the mean difference of two pictures of the same form, which is above 50 for different ones."""
    height, width = after.shape[:2]
    same_size = cv2.resize(np.ascontiguousarray(before), (width, height), interpolation=cv2.INTER_AREA)
    return float(np.abs(same_size.astype(int) - after).mean())


@pytest.mark.parametrize("data", [hopper_jpeg(), png(pixels(hopper_jpeg()))], ids=["jpeg", "png"])
def test_the_picture_is_the_same_with_fewer_pixels(data: bytes) -> None:
    small = shrunk(data, MOST)
    assert kind_of(small) == "jpeg"
    assert MOST / 2 < len(small) <= MOST
    before, after = pixels(data), pixels(small)
    assert after.shape[0] / after.shape[1] == pytest.approx(before.shape[0] / before.shape[1], rel=0.02)
    assert difference(before, after) < 8


def test_all_pixels_stay_where_they_fit() -> None:
    assert pixels(shrunk(hopper_jpeg())).shape == pixels(hopper_jpeg()).shape


def test_it_is_upright() -> None:
    as_stored = pixels(shrunk(exif(turned(1)), MOST))
    assert difference(np.rot90(as_stored, -1), pixels(shrunk(exif(turned(6)), MOST))) < 8


@pytest.mark.parametrize(
    "data",
    [hopper_jpeg()[:5000], b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + b"\0" * 100],
    ids=["cut off", "no frame", "no header"],
)
def test_what_cannot_be_decoded_is_unusable(data: bytes) -> None:
    with pytest.raises(Unusable, match="cannot be made smaller") as error:
        shrunk(data, MOST)
    assert error.value.status == "IMAGE_INVALID_FORMAT"


class TestLoading:
    LARGE = hopper_jpeg().ljust(MAX_IMAGE_BYTES + 1, b"\0")

    def load(self, data: bytes, added: Collection[str] = (), *, shrink: bool = True) -> tuple[bytes | None, bool]:
        loaded = Loader("staff", shrink=shrink).load(self.photo(data), added)
        assert loaded.identity == photo_id("staff", "Grace", "Grace/1.jpg", data)
        return loaded.image, loaded.is_shrunk

    def photo(self, data: bytes) -> Photo:
        def read(most: int = MAX_IMAGE_BYTES) -> bytes:
            if len(data) > most:
                raise too_large(most)
            return data

        return Photo("Grace/1.jpg", "Grace", read)

    def test_a_large_photo_is_made_smaller_and_known_by_what_it_was(self) -> None:
        image, is_shrunk = self.load(self.LARGE)
        assert is_shrunk
        assert image is not None
        assert len(image) <= MAX_IMAGE_BYTES

    def test_any_other_stays_as_it_is(self) -> None:
        assert self.load(hopper_jpeg()) == (hopper_jpeg(), False)

    def test_what_was_added_is_not_made_smaller_once_more(self) -> None:
        known = Loader("staff", shrink=True).identity(self.photo(self.LARGE))
        assert self.load(self.LARGE, {known}) == (None, False)

    def test_without_the_option_the_reason_names_it(self) -> None:
        with pytest.raises(Unusable, match="image larger than 2M: --shrink makes it smaller"):
            self.load(self.LARGE, shrink=False)

    def test_what_is_larger_still_is_not_read(self) -> None:
        with pytest.raises(Unusable, match=f"than {MAX_SHRUNK_BYTES} bytes"):
            self.load(b"\xff\xd8\xff".ljust(MAX_SHRUNK_BYTES + 1, b"\0"))
