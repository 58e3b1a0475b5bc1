"""What the Python client costs: bodies in the forms that the service reads, images in the forms that programs have, and
its import.

    PYTHONPATH=.:tests:clients/python/src .venv/bin/python bench/client.py [DIR]

DIR: photos; prints also how much its encoding of decoded ones changes their confidence.

Prints tables. Everything is CPU time, the median of interleaved rounds; bodies are made as httpx makes them and read
as the gateway reads them, in pieces of 64 KiB, up to the checked parameters of a search.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any, Final, cast

import cv2
import httpx
import numpy as np
import PIL.Image
import pybase64
from facesearch_client import Pixels
from facesearch_client.images import encoded
from recognition import open_pipeline

from gateway.body import uploads
from gateway.calls import parameters
from portraits import hopper_jpeg, jpeg, pixels, scale
from shared.calls import SEARCH_FACE
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models.catalog import calibration_of

ROUNDS: Final = 41
PHOTOS: Final = 1000
PIECE: Final = 64 * 1024
URL: Final = "http://faces.test/v1/searchface"


def main() -> None:
    photos = {"a photo of 61 kB": hopper_jpeg(), "an image of 2 MiB": hopper_jpeg().ljust(2 * 1024 * 1024, b"\0")}
    for name, photo in photos.items():
        print(f"\n{name}\n\n| body | bytes | made | read |\n| --- | ---: | ---: | ---: |")
        bodies = {kind: make(photo) for kind, make in BODIES.items()}
        made = times({kind: partial(make, photo) for kind, make in BODIES.items()})
        read_in = times({kind: partial(read, body) for kind, body in bodies.items()})
        for kind, request in bodies.items():
            print(f"| {kind} | {len(request.content):,} | {made[kind]:.2f} ms | {read_in[kind]:.2f} ms |")
    print("\n| image | bytes | made |\n| --- | ---: | ---: |")
    images = of_programs()
    took = times({name: partial(encoded, image, shrink=shrink) for name, (image, shrink) in images.items()}, 9)
    for name, (image, shrink) in images.items():
        print(f"| {name} | {len(encoded(image, shrink=shrink)):,} | {took[name]:.1f} ms |")
    print("\n| import | CPU |\n| --- | ---: |")
    for name, spent in imports().items():
        print(f"| {name} | {spent:.0f} ms |")
    for folder in sys.argv[1:]:
        confidences(Path(folder))


def multipart(photo: bytes) -> httpx.Request:
    return whole(httpx.Request("POST", URL, data={"facedb": "visitors"}, files={"img": photo}))


def form(photo: bytes) -> httpx.Request:
    return whole(httpx.Request("POST", URL, data={"facedb": "visitors", "img": pybase64.b64encode(photo).decode()}))


def in_json(photo: bytes) -> httpx.Request:
    return whole(httpx.Request("POST", URL, json={"facedb": "visitors", "img": pybase64.b64encode(photo).decode()}))


BODIES: Final[Mapping[str, Callable[[bytes], httpx.Request]]] = {
    "multipart, a file": multipart,
    "JSON, base64": in_json,
    "form, base64": form,
}


def whole(request: httpx.Request) -> httpx.Request:
    request.read()
    return request


def read(request: httpx.Request) -> None:
    """Read a body as the gateway does."""
    body = uploads._body(cast("Any", SimpleNamespace(headers=request.headers)), ("img",), uploads.KNOWN)  # noqa: SLF001
    for start in range(0, len(request.content), PIECE):
        body.feed(request.content[start : start + PIECE])
    parameters.check(SEARCH_FACE.parameters, body.parameters())


def of_programs() -> dict[str, tuple[Any, bool]]:
    """Return images by what they are, with whether they are shrunk."""
    portrait = pixels(hopper_jpeg())
    rng = np.random.default_rng(1)
    large = pixels(
        scale(hopper_jpeg(), 6.25)
    )  # 12 million pixels, with the noise of a sensor, as photos of phones have
    large = cv2.add(large, rng.normal(0, 4, large.shape), dtype=cv2.CV_8U)
    in_rgb = PIL.Image.fromarray(portrait[..., ::-1].copy())
    return {
        "pixels, 512 x 600": (Pixels(portrait, "BGR"), False),
        "pixels, 512 x 600, shrink=True": (Pixels(portrait, "BGR"), True),
        "Pillow, 512 x 600": (in_rgb, False),
        "a photo of 61 kB, shrink=True": (hopper_jpeg(), True),
        f"a photo of {large.shape[1]} x {large.shape[0]}, shrink=True": (jpeg(large, 95), True),
    }


def confidences(folder: Path) -> None:
    """Print the confidences between the photos of a folder and what the client makes of them with Pillow."""
    pipeline = open_pipeline(Settings())
    confidence = calibration_of(pipeline.embedder).confidence
    found = []
    for path in sorted(folder.rglob("*.jpg"))[:PHOTOS]:
        with PIL.Image.open(path) as image:
            again = encoded(image, shrink=False)
        try:
            cosine = pipeline.recognize(path.read_bytes()).vector @ pipeline.recognize(again).vector
        except FaceNotDetected:
            continue
        found.append(confidence(float(cosine)))
    print(f"\n{len(found)} photos as a JPEG of Pillow: least {min(found):.2f}, 1 % below", end=" ")
    print(f"{quantiles(found, n=100)[0]:.2f}, median {median(found):.2f}")


def times(ways: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median CPU time of each in milliseconds; they take turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.thread_time()
            way()
            spent[name].append(time.thread_time() - begun)
    return {name: 1000 * median(each) for name, each in spent.items()}


def imports() -> dict[str, float]:
    """Return the median CPU time of imports in milliseconds, each in new processes. httpx's command line, which its
    import loads where click and rich are installed, is left out, as where only the client is installed.
    """
    ways = {
        "httpx": "httpx",
        "httpx and facesearch_client": "facesearch_client",
        "httpx, facesearch_client and pydantic, which reads one kind of result": "facesearch_client, pydantic; "
        "pydantic.TypeAdapter(list[facesearch_client.FoundFace])",
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(15):
        for name, modules in ways.items():
            script = (
                "import sys, time; sys.modules['click'] = None; begun = time.process_time()\n"
                f"import {modules}\nprint(time.process_time() - begun)"
            )
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 -- our own
            spent[name].append(float(json.loads(done.stdout)))
    return {name: 1000 * median(each) for name, each in spent.items()}


if __name__ == "__main__":
    main()
