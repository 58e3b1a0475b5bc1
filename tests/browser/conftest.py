"""Fixtures for the pages as a browser shows them: Chromium of the system, driven by Playwright."""

import base64
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import pytest

import portraits
from service import UNHURRIED, Service

PATIENCE_MS = 60_000
"""How long a test waits for what a page is to show, on a busy machine too."""

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9j"
    "AAAAAERAAAEAAQAAAAABegABAAAAAAAAABkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlw"
    "cnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AA"
    "AAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAA"
    "AABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACFtZGF0AAAAFSgBrwQY/CQgZ46aWTGAhoiU0315wA=="
)
"""A whole HEIC file, a gradient of 64 x 64 pixels that libheif 1.23 wrote with x265: nothing that tests install can."""

ADMIN_KEY = "an-admin-key-of-the-browser-tests"


@pytest.fixture(scope="module")
def chromium(photos: dict[str, Path]) -> Iterator[Any]:
    """A running browser, and a camera that shows a portrait; the tests are skipped where there is none. It ends with
    its module: Playwright's event loop runs as long, and tests of asyncio in the same process need their own.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None or find_spec("playwright") is None:
        pytest.skip("needs Chromium, as of apt-get install chromium, and Playwright: make browser")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- only where it is installed

    with sync_playwright() as playwright:
        # As root, in a container or in CI, Chromium has no sandbox; it opens pages of ours alone.
        camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={photos['camera.mjpeg']}")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *camera])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that the pages of a module are about."""
    settings = {**UNHURRIED, "FACESEARCH_ADMIN_KEY": ADMIN_KEY}
    with Service(tmp_path_factory.mktemp("shown"), settings) as running:
        yield running


class Watched:
    """What a page asked for and complained about. expected: texts of complaints that belong to the test, such as those
    of a browser about an answer with the code 401. origin: the host and port that it may ask.
    """

    def __init__(self, page: Any, origin: str) -> None:
        self.expected: list[str] = []
        self._complaints: list[str] = []
        self._foreign: list[str] = []
        self.origin = origin
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", self._see)

    def check(self) -> None:
        assert not self._foreign
        assert [text for text in self._complaints if not any(part in text for part in self.expected)] == []

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _see(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.netloc != self.origin:
            self._foreign.append(request.url)


@pytest.fixture
def watched() -> list[Watched]:
    """Those of this test."""
    return []


@pytest.fixture
def page(chromium: Any, shown: Service, watched: list[Watched]) -> Iterator[Any]:
    """A page of a browser without history. At its end it has asked no other host and complained of nothing."""
    context = chromium.new_context(base_url=shown.address, viewport={"width": 1200, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    watched.append(Watched(opened, urlsplit(shown.address).netloc))
    yield opened
    context.close()
    watched[0].check()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of photos by name: two people, both in one photo, and with one of them blurred; one without a face, one
    that is no image, a large one of 12 million pixels, some of kinds that the service does not read, and what the
    camera shows.
    """
    folder = tmp_path_factory.mktemp("photos")
    contents = {
        "hopper.jpg": portraits.hopper_jpeg(),
        "collins.png": portraits.astronaut_png(),
        "both.jpg": portraits.side_by_side(portraits.hopper_jpeg(), portraits.astronaut_png()),
        "coffee.png": portraits.faceless_png(),
        "broken.jpg": portraits.hopper_jpeg()[:2000],
        "blurred.png": portraits.side_by_side(
            portraits.hopper_jpeg(),
            portraits.png(cv2.GaussianBlur(portraits.pixels(portraits.astronaut_png()), (0, 0), 6)),
        ),
        "hopper.webp": cv2.imencode(".webp", portraits.pixels(portraits.hopper_jpeg()))[1].tobytes(),
        "hopper.heif": cv2.imencode(".avif", portraits.pixels(portraits.hopper_jpeg()))[1].tobytes(),
        "IMG_1.HEIC": HEIC,
        "camera.mjpeg": portraits.hopper_jpeg(),
        "large.png": portraits.png(cv2.resize(portraits.pixels(portraits.hopper_jpeg()), (3000, 4000))),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}
