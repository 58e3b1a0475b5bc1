"""Fixtures for the pages as a browser shows them: Chromium of the system, driven by Playwright."""

import base64
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import httpx
import pytest

import portraits
from browser.callers import TENANT, Shown, enter, stored
from browser.programs import Programs
from service import Service

VIEWPORT = {"width": 1200, "height": 900}

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
def shown(service: Service) -> Iterator[Shown]:
    admin_key = (service.folder / "admin-key").read_text().strip()
    with httpx.Client(base_url=service.address, timeout=150) as http:
        of_module = Shown(service, admin_key, "", http)
        of_module.operate("POST", "", name=TENANT)
        key = of_module.operate("POST", f"/{TENANT}/keys", name="pages")["key"]
        http.headers["X-API-Key"] = key
        yield replace(of_module, key=key)
        of_module.operate("DELETE", f"/{TENANT}")


class Watched:
    """What a page asked for and complained about. expected: texts of complaints that belong to the test, such as those
    of a browser about an answer with the code 401. origin: the host and port that it may ask.
    """

    def __init__(self, page: Any, origin: str) -> None:
        self.expected: list[str] = []
        self._complaints: list[str] = []
        self._foreign: list[str] = []
        self.origin = origin
        self._page = page
        self._listeners = {
            "console": self._hear,
            "pageerror": lambda error: self._complaints.append(str(error)),
            "request": self._see,
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def check(self) -> None:
        """Stop to watch, and fail if there was anything."""
        for event, listener in self._listeners.items():
            self._page.remove_listener(event, listener)
        assert not self._foreign
        assert [text for text in self._complaints if not any(part in text for part in self.expected)] == []

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _see(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.netloc != self.origin:
            self._foreign.append(request.url)


@pytest.fixture(scope="module")
def tab(chromium: Any, shown: Shown) -> Iterator[Any]:
    """The page of a module: loading the console into it again takes half the time of loading it into a new one."""
    context = chromium.new_context(base_url=shown.address, locale="en-GB", viewport=VIEWPORT)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def watched(tab: Any, shown: Shown) -> Watched:
    """What the page of this test does."""
    return Watched(tab, urlsplit(shown.address).netloc)


@pytest.fixture
def page(tab: Any, watched: Watched) -> Iterator[Any]:
    """A page with nothing of other tests in it. At its end it has asked no other host and complained of nothing."""
    yield tab
    watched.check()
    tab.unroute_all()
    tab.context.clear_permissions()
    tab.emulate_media(color_scheme="null", reduced_motion="null")
    tab.set_viewport_size(VIEWPORT)
    tab.evaluate("localStorage.clear()")
    tab.goto("about:blank")


@pytest.fixture
def console(page: Any, shown: Shown) -> Iterator[Any]:
    """The callers' console after the key was given, on an empty face database."""
    enter(page, shown.key)
    yield page
    for person in stored(shown):
        assert shown.http.delete(f"/v1/persons/{person['person_id']}").json()["status"] == "OK"


@pytest.fixture
def operators(page: Any, shown: Shown, watched: Watched) -> Any:
    """The operators' console after the admin key was given."""
    watched.origin = urlsplit(shown.admin).netloc
    page.goto(f"{shown.admin}/console")
    page.get_by_label("Admin key").fill(shown.admin_key)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="Service", exact=True).wait_for()
    return page


@pytest.fixture
def programs(shown: Shown, photos: dict[str, Path]) -> Programs:
    """What runs the programs of a page in the folder of the photos."""
    return Programs(shown, photos["hopper.jpg"].parent)


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
