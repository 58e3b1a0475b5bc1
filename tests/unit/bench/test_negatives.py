"""How pictures without a face are chosen: exclusions, duplicates, and the part of a photo that shows no face."""

import io
import struct
import zipfile
import zlib
from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negative_sources import DENIED, SOURCES, Denied, Source, denied
from negatives import (
    DIGITS,
    LEAST_PART,
    LEAST_SIDE,
    SIDE,
    Known,
    Picture,
    beside,
    chosen,
    digest_of,
    members,
    resources,
    surfaces,
    taken,
    texts,
    unlike,
)
from PIL import Image

BOXES = st.lists(
    st.tuples(st.floats(-20, 240), st.floats(-20, 240), st.floats(1, 200), st.floats(1, 200)), min_size=1, max_size=4
)


@given(BOXES, st.floats(0, 1))
def test_a_part_without_a_face_overlaps_no_box(boxes: list[tuple[float, ...]], margin: float) -> None:
    part = beside((250, 250), [(x, y, w, h) for x, y, w, h in boxes], margin)
    if part is None:
        return
    left, top, width, height = part
    assert min(width, height) >= LEAST_PART
    assert 0 <= left <= left + width <= 250
    assert 0 <= top <= top + height <= 250
    for x, y, w, h in boxes:
        apart = (
            left >= x + (1 + margin) * w
            or left + width <= x - margin * w
            or top >= y + (1 + margin) * h
            or top + height <= y - margin * h
        )
        assert apart


def test_the_largest_part_beside_a_face_is_taken() -> None:
    assert beside((250, 200), [(20, 50, 40, 40)], 0.5) == (80, 0, 170, 200)
    assert beside((250, 200), [(150, 50, 40, 40)], 0) == (0, 0, 150, 200)
    assert beside((250, 200), [(100, 10, 150, 20)], 0) == (0, 30, 250, 170)


def test_no_part_is_taken_where_a_face_fills_the_photo_or_no_face_is_found() -> None:
    assert beside((250, 250), [(60, 60, 130, 130)], 0.3) is None
    assert beside((250, 250), []) is None


def test_a_picture_is_a_duplicate_in_another_size_and_other_pictures_are_not() -> None:
    known = Known()
    picture = np.random.default_rng(1).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    large = np.asarray(cv2.resize(picture, (300, 400), interpolation=cv2.INTER_CUBIC))
    assert known.add(large)
    assert not known.add(large)
    assert not known.add(np.asarray(cv2.resize(large, (150, 200), interpolation=cv2.INTER_AREA)))
    assert known.add(255 - large)
    assert known.add(large[:100])


def test_a_copy_of_an_excluded_picture_is_excluded() -> None:
    random = np.random.default_rng(1)
    portrait, flower = (random.integers(0, 256, (90, 60, 3)).astype(np.uint8) for _ in range(2))

    def picture(image: np.ndarray, digest: str, left_out: str = "") -> Picture:
        return Picture("a", "1", digest, bytes(cv2.imencode(".png", image)[1]), "png", digest, left_out)

    smaller = np.asarray(cv2.resize(portrait, (40, 60), interpolation=cv2.INTER_AREA))
    found = [picture(portrait, "1", "a portrait"), picture(smaller, "2"), picture(flower, "3"), picture(flower, "4")]
    assert [one.digest for one, _ in unlike(found)] == ["3"]


def test_the_same_files_are_chosen_in_any_order_and_from_all_folders() -> None:
    files = [(f"{folder}/{number}.png", b"") for folder in "abcd" for number in range(50)]
    some = chosen(files, 40)
    assert len(some) == 40
    assert some == chosen(files[::-1], 40)
    assert {path[0] for path, _ in some} == set("abcd")
    assert set(chosen(files, 41)) > set(some)
    assert chosen(files, 1000) == sorted(files)


def test_a_source_takes_files_that_match_its_patterns() -> None:
    source = Source("debian", "flowers", "1", ("*/photos/*", "usr/*.jpg"))
    assert source.takes("usr/share/photos/rose.png")
    assert source.takes("usr/share/rose.jpg")
    assert not source.takes("usr/share/icons/rose.png")


def test_exclusions_match_by_package_and_path_or_by_package_and_digest() -> None:
    rule = Denied("toys*", "a doll", ("*/dolls/*",), frozenset({"0123abcd"}))
    assert rule.covers("toys-data", "usr/dolls/1.png", "f" * DIGITS)
    assert rule.covers("toys-data", "usr/cars/1.png", "0123abcd4567")
    assert not rule.covers("toys-data", "usr/cars/1.png", "1123abcd4567")
    assert not rule.covers("tools", "usr/dolls/1.png", "0123abcd4567")


def test_known_portraits_are_excluded_with_a_reason() -> None:
    assert denied("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", "")
    assert denied("scikit-image", "skimage/data/astronaut.png", "")
    assert denied("pillow", "pillow-13.0.0/Tests/images/hopper.png", "")
    assert denied("openclipart-png", "usr/share/openclipart/png/recreation/games/cards/white/white_d_k.png", "")
    assert not denied("scikit-image", "skimage/data/chelsea.png", "")
    assert not denied("openclipart-png", "usr/share/openclipart/png/recreation/games/cards/white/white_d_8.png", "")


def test_every_exclusion_has_a_reason_a_known_package_and_whole_digests() -> None:
    packages = {source.package for source in SOURCES} | {"*", "lfw"}
    for rule in DENIED:
        assert rule.reason
        assert rule.package in packages
        assert rule.paths or rule.digests
        assert all(len(digest) == 8 and set(digest) <= set("0123456789abcdef") for digest in rule.digests)


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_png_jpeg_and_bmp_are_unchanged() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("BMP", "bmp")):
        data = encoded(image, kind)
        assert taken(data) == (data, suffix)


def test_other_formats_are_converted_on_white_and_limited_in_size() -> None:
    clear = Image.new("RGBA", (100, 60), (0, 0, 0, 0))
    found = taken(encoded(clear, "WEBP"))
    assert found
    assert found[1] == "png"
    assert np.asarray(Image.open(io.BytesIO(found[0]))).tolist() == np.full((60, 100, 3), 255).tolist()
    found = taken(encoded(Image.new("RGB", (SIDE + 500, 100)), "PNG"))
    assert found
    assert found[1] == "jpg"
    assert max(Image.open(io.BytesIO(found[0])).size) == SIDE


@pytest.mark.parametrize("data", [b"", b"no image", encoded(Image.new("RGB", (LEAST_SIDE - 1, 40)), "PNG")])
def test_unreadable_and_tiny_images_are_skipped(data: bytes) -> None:
    assert taken(data) is None


def test_members_of_archives_are_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("textures/wall.png", b"wall")
    assert list(members("data/pak.pk3", file.getvalue())) == [("data/pak.pk3/textures/wall.png", b"wall")]
    assert list(members("data/wall.png", b"wall")) == [("data/wall.png", b"wall")]


def resource_file(files: dict[str, bytes]) -> bytes:
    """Return a Qt resource file of version 1 with these files in one folder, every other one compressed."""
    names, offsets = b"", []
    for name in ("folder", *files):
        offsets.append(len(names))
        text = name.encode("utf-16-be")
        names += struct.pack(">HI", len(text) // 2, 0) + text
    tree = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", offsets[0], 2, len(files), 2)
    content = b""
    for number, data in enumerate(files.values()):
        packed = struct.pack(">I", len(data)) + zlib.compress(data) if number % 2 else data
        tree += struct.pack(">IHHHI", offsets[number + 1], number % 2, 0, 0, len(content))
        content += struct.pack(">I", len(packed)) + packed
    start = 20
    head = struct.pack(">4sIIII", b"qres", 1, start, start + len(tree), start + len(tree) + len(content))
    return head + tree + content + names


def test_files_of_a_qt_resource_file_are_read_by_their_paths() -> None:
    files = {"owl.webp": b"an owl", "cat.webp": b"a cat" * 100, "dog.webp": b""}
    data = resource_file(files)
    assert dict(resources(data)) == {f"folder/{name}": content for name, content in files.items()}
    assert dict(members("animals.rcc", data)) == {f"animals.rcc/folder/{name}": c for name, c in files.items()}
    with pytest.raises(ValueError, match="not a Qt resource file"):
        list(resources(b"no resources at all"))


def test_synthetic_pictures_are_reproducible() -> None:
    for make in (texts, surfaces):
        first = [digest_of(image.tobytes()) for image in islice(make(), 12)]
        assert first == [digest_of(image.tobytes()) for image in islice(make(), 12)]
        assert len(set(first)) == 12
