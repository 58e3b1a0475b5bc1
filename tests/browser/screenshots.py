"""Write pictures of the pages for the documents, with the portraits of the tests.

PYTHONPATH=tests .venv/bin/python -m browser.screenshots docs/images
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

import portraits
from service import Service

MOST_BYTES: Final = 200_000
"""Most bytes of a picture, so that the repository stays small."""

ADMIN_KEY: Final = "an-admin-key-for-the-screenshots"

SIZE: Final = {"width": 1180, "height": 760}


def write_all(folder: Path) -> None:
    """Write search.jpg, search-dark-zh.jpg, person.jpg and operations.jpg. Raises ValueError if one is too large."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        photo = Path(place) / "two.png"
        photo.write_bytes(portraits.side_by_side(portraits.hopper_jpeg(), portraits.astronaut_png()))
        with Service(Path(place) / "data", {"FACESEARCH_ADMIN_KEY": ADMIN_KEY}) as service:
            for name, portrait in (("Hopper", portraits.hopper_jpeg()), ("Collins", portraits.astronaut_png())):
                service.http.post("/v1/addface", data={"name": name}, files={"img": portrait})
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, locale="en-GB")
            _open(page, f"{service.address}/console", service.key)
            page.locator("section.chooser input").set_input_files(photo)
            page.locator(".match").nth(1).wait_for()
            _write(page, folder / "search.jpg")
            page.locator("nav a").last.click()
            page.locator("tbody button").first.click()
            page.locator("dialog form").wait_for()
            _write(page, folder / "person.jpg")
            page.keyboard.press("Escape")
            page.emulate_media(color_scheme="dark")
            page.get_by_role("combobox", name="Language").select_option("zh")
            page.locator("nav a").first.click()
            page.locator(".match").nth(1).wait_for()
            _write(page, folder / "search-dark-zh.jpg")
            operators = browser.new_page(viewport=SIZE, locale="en-GB")
            _open(operators, f"{service.admin}/console", ADMIN_KEY)
            operators.locator(".card").first.wait_for()
            _write(operators, folder / "operations.jpg")
            browser.close()


def _open(page: Any, address: str, key: str) -> None:
    page.goto(address)
    page.locator("#key").fill(key)
    page.locator("#key-form button").click()
    page.locator("nav a").first.wait_for()


def _write(page: Any, path: Path) -> None:
    page.screenshot(path=path, type="jpeg", quality=82, animations="disabled")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes; at most {MOST_BYTES} may be committed")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_all(target)
