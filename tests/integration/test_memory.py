"""However many large images come at once, a worker decodes only as many as its memory budget allows, and
answers each.
"""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from image_parts import flat_png
from portraits import hopper_jpeg
from service import UNHURRIED, Service

pytestmark = pytest.mark.slow

THREADS = 4
ROOM_MB = 350
"""Room for one image of 49 megapixels, which takes 294 MB to decode, and not for two."""

BESIDE_MB = 250
"""Memory of four threads and their models beside the images."""


def most_mb(worker: int) -> int:
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1000


def test_large_images_are_decoded_one_by_one_and_all_are_answered(tmp_path: Path) -> None:
    settings = {
        **UNHURRIED,
        "FACESEARCH_WORKER_THREADS": str(THREADS),
        "FACESEARCH_DECODED_MB": str(ROOM_MB),
        # Far shorter than they wait for each other.
        "FACESEARCH_VISIBILITY_TIMEOUT_S": "5",
    }
    large = base64.b64encode(flat_png(7000, 7000)).decode()
    with Service(tmp_path / "home", settings) as service, ThreadPoolExecutor(2 * THREADS) as callers:
        worker = service.child("-m worker").pid

        def asked(image: str) -> str:
            return str(service.http.post("/v1/addface", data={"img": image}).json()["status"])

        small = base64.b64encode(hopper_jpeg()).decode()
        assert list(callers.map(asked, [small] * 2 * THREADS)) == ["OK"] * 2 * THREADS
        before = most_mb(worker)
        assert list(callers.map(asked, [large] * 2 * THREADS)) == ["FACE_DETECT_FAILED"] * 2 * THREADS
        assert most_mb(worker) - before < ROOM_MB + BESIDE_MB
        assert service.child("-m worker").pid == worker, "none of them was taken for stuck"
