"""The weight of an image follows from its header, before a pixel is decoded, and is at least the memory that decoding
takes.
"""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import DECODED
from hostile_images import IMAGES
from image_parts import flat_png, large_photo
from portraits import hopper_jpeg, jpeg, pixels
from processes import python
from worker.vision.decoding_memory import decoding_bytes
from worker.vision.memory_budget import FREE_BYTES

pytestmark = pytest.mark.slow

MEASURED = """
import sys
from pathlib import Path
from hostile_images import IMAGES
from portraits import hopper_jpeg
from worker.vision.decode import configure_opencv, decode

def status(field):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024

configure_opencv()
(item,) = [item for item in IMAGES if item.name == sys.argv[1]]
data = item.make()
decode(hopper_jpeg())
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
decode(data, full_size=sys.argv[2] == "whole")
print(status("VmHWM") - before)
"""

LARGE = [
    item.name
    for item in IMAGES
    if item.answer == DECODED and decoding_bytes(item.make(), full_size=True) > 5 * FREE_BYTES
]
"""Smaller images cannot be told from the memory that a process takes anyway."""


@pytest.mark.parametrize("how", ["whole", "made smaller"])
@pytest.mark.parametrize("name", LARGE)
def test_decoding_takes_at_most_the_weight(name: str, how: str) -> None:
    (item,) = [item for item in IMAGES if item.name == name]
    path = os.pathsep.join(str(Path(__file__).parents[4] / part) for part in ("", "tests"))
    ended = python("-c", MEASURED, name, how, PYTHONPATH=path)
    assert ended.returncode == 0, ended.stderr
    weight = decoding_bytes(item.make(), full_size=how == "whole")
    assert int(ended.stdout) <= max(weight, 2 * FREE_BYTES) * 1.05


def test_some_images_are_large_enough_to_be_measured() -> None:
    assert len(LARGE) >= 6


def test_common_photos_need_not_wait_for_memory() -> None:
    assert decoding_bytes(hopper_jpeg(), full_size=True) < FREE_BYTES
    assert decoding_bytes(large_photo(), full_size=False) < 3 * FREE_BYTES
    assert 6 * 48_000_000 * 0.9 < decoding_bytes(large_photo(), full_size=True) < 6 * 48_000_000 * 1.1
    assert decoding_bytes(flat_png(7000, 7000), full_size=False) == 7 * 49_000_000


def test_a_progressive_photo_weighs_all_its_coefficients() -> None:
    photo = jpeg(pixels(hopper_jpeg()), progressive=True)
    assert decoding_bytes(photo, full_size=True) > decoding_bytes(hopper_jpeg(), full_size=True)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"]))
def test_the_weight_of_any_bytes_is_not_negative(data: bytes, start: bytes) -> None:
    assert decoding_bytes(start + data, full_size=True) >= 0


@given(st.data())
def test_the_weight_of_a_damaged_image_is_not_negative(data: st.DataObject) -> None:
    image = bytearray(data.draw(st.sampled_from([hopper_jpeg(), flat_png(30, 20)])))
    for _ in range(data.draw(st.integers(1, 5))):
        image[data.draw(st.integers(0, min(len(image), 700) - 1))] = data.draw(st.integers(0, 255))
    assert decoding_bytes(bytes(image), full_size=False) >= 0
