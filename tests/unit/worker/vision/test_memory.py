"""Running out of memory while an image is decoded is not reported as an error of the image."""

import subprocess
import sys

import numpy as np
import pytest

from image_parts import oddly_sampled
from portraits import bmp, jpeg, png

pytestmark = pytest.mark.slow

LIMITS_MB = (1, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 384)
"""Address space that decoding may take in addition to what the process holds before it."""

PROGRAM = """
import resource, sys
from pathlib import Path
from shared.errors import ImageUnreadable
from worker.vision.decode import configure_opencv, decode

configure_opencv()
small, data = (Path(name).read_bytes() for name in sys.argv[1:3])
decode(small)  # loads libraries
for limit in sys.argv[3:]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (int(limit) << 20), resource.RLIM_INFINITY))
    try:
        decode(data, full_size=True)
    except MemoryError:
        outcome = "no memory"
    except ImageUnreadable:
        outcome = "unreadable"
    else:
        outcome = "decoded"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    print(outcome)
"""


def lines(side: int) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    image[::7] = 90
    return image


KINDS = {
    "jpeg": lambda side: jpeg(lines(side)),
    "progressive jpeg": lambda side: jpeg(lines(side), progressive=True),
    "rare jpeg": lambda side: oddly_sampled(np.dstack([lines(side), lines(side)[..., :1]])),
    "png": lambda side: png(lines(side)),
    "bmp": lambda side: bmp(lines(side)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
@pytest.mark.parametrize("kind", KINDS)
def test_a_lack_of_memory_is_not_reported_as_an_unreadable_image(tmp_path, kind):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(KINDS[kind](64))
    large.write_bytes(KINDS[kind](2400))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, small, large, *map(str, LIMITS_MB)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    outcomes = done.stdout.split("\n")[:-1]
    assert len(outcomes) == len(LIMITS_MB)
    assert outcomes[0] == "no memory"
    assert outcomes[-1] == "decoded"
    assert "unreadable" not in outcomes
