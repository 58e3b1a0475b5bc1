"""The console in a browser: every action of it on real photos, as somebody does who sees it or only hears it."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from browser.callers import WIDEST, Shown, add, choose, enter, stored, visit
from browser.conftest import Watched
from processes import is_ready, two_free_ports, wait_for

CARRIED = """encoded => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
    return data;
}"""
"""Makes what a browser carries from a folder or a clipboard."""

SHOWING = """video => new Promise((resolve) => {
    if (video.readyState >= video.HAVE_CURRENT_DATA) resolve();
    else video.addEventListener("loadeddata", resolve, { once: true });
})"""
"""Waits for the first picture of a camera."""

GIVEN = {
    "drop": """(field, data) => {
        for (const kind of ["dragover", "drop"]) {
            field.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }
    }""",
    "paste": """(field, data) => {
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""",
}

REFUSED = "the server responded with a status of 401"


class TestTheKey:
    def test_a_wrong_one_is_refused_and_the_page_says_what_to_do(self, page: Any, watched: Watched) -> None:
        watched.expected.append(REFUSED)
        page.goto("/console")
        page.get_by_label("API key", exact=True).fill("wrong")
        page.get_by_role("button", name="Open").click()
        assert "Ask the operator for one that works" in page.get_by_role("alert").inner_text()

    def test_it_is_kept_nowhere_and_can_be_forgotten(self, console: Any, shown: Shown) -> None:
        assert console.evaluate("Object.keys(sessionStorage).length") == 0
        assert shown.key not in console.evaluate("JSON.stringify(localStorage)")
        assert shown.key not in console.content()
        console.get_by_role("button", name="Forget the key").click()
        assert console.get_by_label("API key", exact=True).input_value() == ""
        console.reload()
        assert console.get_by_label("API key", exact=True).is_visible()


class TestSearch:
    def test_a_stored_person_is_found_with_what_the_confidence_means(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace", external_id="navy-1")
        choose(console, photos["hopper.jpg"], "Who is this?")
        row = console.get_by_role("listitem").filter(has_text="Grace")
        assert row.locator("output").inner_text() == "100"
        assert "navy-1" in row.inner_text()
        assert "expect one stranger at this confidence" in row.inner_text()
        assert console.get_by_role("img", name="Confidence 100 of 100").is_visible()

    def test_each_face_of_a_photo_is_boxed_and_has_its_own_answer(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["both.jpg"], "Who is this?")
        console.get_by_role("heading", name="Face 2").wait_for()
        boxes = console.get_by_role("button", name="Face ")
        assert boxes.count() == 2
        boxes.nth(1).click()
        assert boxes.nth(1).get_attribute("aria-pressed") == "true"
        known, unknown = (console.locator("section.face").nth(number) for number in (0, 1))
        assert "Grace" in known.inner_text()
        assert "Nobody reaches 80" in unknown.inner_text()

    def test_who_is_unknown_can_be_added_at_once(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["both.jpg"], "Who is this?")
        unknown = console.locator("section.face").nth(1)
        unknown.get_by_label("Name").fill("Eileen")
        unknown.get_by_role("button", name="Add as a new person").click()
        unknown.get_by_text("Eileen was added.").wait_for()
        assert {person["name"] for person in stored(shown)} == {"Grace", "Eileen"}
        found = shown.http.post("/v1/searchface", files={"img": photos["collins.png"].read_bytes()}).json()["message"]
        assert [match["name"] for match in found] == ["Eileen"]

    def test_a_photo_can_be_added_to_the_person_found(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        person_id = add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["hopper.jpg"], "Who is this?")
        console.get_by_role("button", name="Add this photo to the person").click()
        console.get_by_text("The photo was added to Grace.").wait_for()
        assert [(person["person_id"], person["faces"]) for person in stored(shown)] == [(person_id, 2)]

    def test_fewer_are_listed_without_another_request(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["collins.png"], "Who is this?")
        console.get_by_text("Nobody reaches 80").wait_for()
        sent: list[str] = []
        console.on("request", lambda request: sent.append(request.url))
        console.get_by_label("Least confidence").select_option("0")
        console.get_by_role("listitem").filter(has_text="Grace").wait_for()
        assert sent == []

    def test_the_same_search_as_a_program(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["hopper.jpg"], "Who is this?")
        console.get_by_text("The same as a program").click()
        program = console.locator("details.programs code")
        assert "v1/searchface" in program.inner_text()
        assert "-F 'img=@hopper.jpg'" in program.inner_text()
        console.get_by_role("button", name="Python").click()
        assert "httpx.request" in program.inner_text()
        assert shown.key not in program.inner_text()


class TestWhereAPhotoComesFrom:
    @pytest.mark.parametrize("event", ["drop", "paste"])
    def test_dropped_or_pasted(self, console: Any, shown: Shown, photos: dict[str, Path], event: str) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        encoded = base64.b64encode(photos["hopper.jpg"].read_bytes()).decode()
        data = console.evaluate_handle(CARRIED, encoded)
        console.locator("section.chooser").evaluate(GIVEN[event], data)
        console.get_by_role("listitem").filter(has_text="Grace").wait_for()

    def test_from_the_camera(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        console.context.grant_permissions(["camera"])
        console.get_by_role("button", name="Camera").click()
        console.locator("video").evaluate(SHOWING)
        console.get_by_role("button", name="Take the photo").click()
        console.get_by_role("listitem").filter(has_text="Grace").wait_for()
        assert console.locator("video").count() == 0

    def test_a_camera_that_may_not_be_used(self, console: Any) -> None:
        console.get_by_role("button", name="Camera").click()
        dialog = console.get_by_role("dialog", name="Camera")
        dialog.get_by_text("No camera can be used.").wait_for()
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="detached")


class TestPhotosThatTheServiceWouldNotTake:
    def test_one_of_another_kind_is_converted(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        """The second is AV1 in the container of HEIC, which Chromium reads: so does HEIC where a browser can."""
        add(shown, photos["hopper.jpg"], name="Grace")
        for name, kind in (("hopper.webp", "image/webp"), ("hopper.heif", "image/heif")):
            choose(console, photos[name], "Who is this?")
            console.get_by_text(f"The file ({kind},").wait_for()
            console.get_by_role("listitem").filter(has_text="Grace").wait_for()

    def test_heic_that_this_browser_cannot_read_is_not_sent_and_the_page_says_what_to_do(
        self, console: Any, photos: dict[str, Path], tmp_path: Path
    ) -> None:
        """No Chromium reads HEIC. Safari does, which no test here can show."""
        sent: list[str] = []
        console.on("request", lambda request: sent.append(request.method))
        choose(console, photos["IMG_1.HEIC"], "Who is this?")
        said = "IMG_1.HEIC is a HEIC photo, which this browser cannot read; nothing was sent."
        assert said in console.get_by_role("alert").inner_text()
        assert "save the photo as JPEG first" in console.get_by_role("alert").inner_text()
        shutil.copy(photos["IMG_1.HEIC"], tmp_path)
        visit(console, "Add")
        console.get_by_text("Add a folder of photos").click()
        console.get_by_label("Choose a folder").first.set_input_files(tmp_path)
        console.get_by_text("1 of 1 photos, 1 failed").wait_for()
        assert said in console.locator("ul.failures").inner_text()
        assert "POST" not in sent

    def test_a_poor_face_is_told_with_its_flaw_and_measures(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        choose(console, photos["blurred.png"], "Who is this?")
        poor = console.locator("section.face").filter(has_text="The face is blurred.")
        poor.get_by_text("Quality of the face").click()
        assert "Sharpness" in poor.locator("dl").inner_text()
        assert console.locator(".box.poor").count() == 1

    def test_a_large_one_is_made_smaller_and_the_page_says_so(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        assert photos["large.png"].stat().st_size > 2 * 2**20
        choose(console, photos["large.png"], "Who is this?")
        console.get_by_text("was converted to a JPEG").wait_for()
        console.get_by_role("listitem").filter(has_text="Grace").wait_for()

    def test_a_broken_one_is_refused_before_it_is_sent(self, console: Any, tmp_path: Path) -> None:
        (tmp_path / "notes.jpg").write_text("no image")
        choose(console, tmp_path / "notes.jpg", "Who is this?")
        assert "This browser cannot read notes.jpg" in console.get_by_role("alert").inner_text()

    def test_one_without_a_face(self, console: Any, photos: dict[str, Path]) -> None:
        choose(console, photos["coffee.png"], "Who is this?")
        assert "No face was found in the photo" in console.get_by_role("alert").inner_text()


class TestAdd:
    def test_a_person_with_a_name_and_an_external_id(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        visit(console, "Add")
        choose(console, photos["hopper.jpg"], "Photo of the person to add")
        console.get_by_label("Name").fill("Grace")
        console.get_by_label("External id").fill("navy-1")
        console.get_by_role("button", name="Add", exact=True).click()
        console.get_by_role("listitem").filter(has_text="Grace").wait_for()
        (person,) = stored(shown)
        assert (person["name"], person["external_id"]) == ("Grace", "navy-1")

    def test_nobody_is_added_twice(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        visit(console, "Add")
        choose(console, photos["hopper.jpg"], "Photo of the person to add")
        console.get_by_label("Name").fill("Another")
        console.get_by_role("button", name="Add", exact=True).click()
        console.get_by_text("Is stored already, with confidence 100").wait_for()
        assert [person["name"] for person in stored(shown)] == ["Grace"]

    def test_a_folder_with_the_failures_listed(
        self, console: Any, shown: Shown, photos: dict[str, Path], tmp_path: Path
    ) -> None:
        for name in ("hopper.jpg", "collins.png", "coffee.png"):
            (tmp_path / name).write_bytes(photos[name].read_bytes())
        visit(console, "Add")
        console.get_by_text("Add a folder of photos").click()
        console.get_by_label("Choose a folder").first.set_input_files(tmp_path)
        console.get_by_text("3 of 3 photos, 1 failed").wait_for()
        assert "coffee.png: No face was found" in console.locator("ul.failures").inner_text()
        assert {person["name"] for person in stored(shown)} == {"hopper", "collins"}


class TestCompare:
    @pytest.mark.parametrize(
        ("second", "verdict"), [("hopper.jpg", "The same person"), ("collins.png", "Not the same person")]
    )
    def test_two_photos(self, console: Any, photos: dict[str, Path], second: str, verdict: str) -> None:
        visit(console, "Compare")
        choose(console, photos["hopper.jpg"], "First photo")
        choose(console, photos[second], "Second photo")
        console.get_by_text(verdict, exact=True).first.wait_for()


class TestPeople:
    def test_attributes_are_changed(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        visit(console, "People")
        console.get_by_role("row", name="Grace").get_by_role("button", name="Details").click()
        dialog = console.get_by_role("dialog")
        dialog.get_by_label("Name").fill("Hopper")
        dialog.get_by_label("External id").fill("navy-1")
        dialog.get_by_label("Metadata").fill(json.dumps({"rank": "rear admiral"}))
        dialog.get_by_role("button", name="Save").click()
        dialog.locator("strong").filter(has_text="Hopper").wait_for()
        (person,) = stored(shown)
        assert (person["name"], person["external_id"], person["metadata"]) == (
            "Hopper",
            "navy-1",
            {"rank": "rear admiral"},
        )
        dialog.get_by_role("button", name="Close").click()
        assert console.get_by_role("row", name="Hopper").is_visible()

    def test_nobody_is_deleted_before_it_is_confirmed(
        self, console: Any, shown: Shown, photos: dict[str, Path]
    ) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        visit(console, "People")
        console.get_by_role("row", name="Grace").get_by_role("button", name="Details").click()
        console.get_by_role("button", name="Delete the person").click()
        question = console.get_by_role("dialog", name="Delete the person")
        assert "Grace is deleted with all faces (1)" in question.inner_text()
        question.get_by_role("button", name="Cancel").click()
        assert len(stored(shown)) == 1
        console.get_by_role("button", name="Delete the person").click()
        question.get_by_role("button", name="Delete", exact=True).click()
        console.get_by_role("row", name="Grace").wait_for(state="detached")
        assert stored(shown) == []

    def test_a_single_face_of_a_person_is_deleted(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        person_id = add(shown, photos["hopper.jpg"], name="Grace")
        add(shown, photos["collins.png"], person_id=person_id)
        visit(console, "People")
        console.get_by_role("row", name="Grace").get_by_role("button", name="Details").click()
        console.get_by_text("faces: 2").wait_for()
        console.get_by_role("listitem").filter(has_text="Face 2").get_by_role("button", name="Delete").click()
        console.get_by_role("dialog", name="Delete this face?").get_by_role("button", name="Delete").click()
        console.get_by_text("faces: 1").wait_for()
        assert [person["faces"] for person in stored(shown)] == [1]

    def test_the_filter_of_external_ids(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace", external_id="navy-1")
        add(shown, photos["collins.png"], name="Eileen", external_id="nasa-1")
        visit(console, "People")
        console.locator("tbody tr").nth(1).wait_for()
        console.get_by_role("search").get_by_label("External id").fill("nasa-1")
        console.get_by_role("button", name="Filter").click()
        console.get_by_role("row", name="Grace").wait_for(state="detached")
        console.get_by_role("row", name="Eileen").wait_for()

    def test_who_is_similar_to_a_person(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        for name in ("Grace", "Hopper"):
            add(shown, photos["hopper.jpg"], name=name)
        visit(console, "People")
        console.get_by_role("row", name="Grace").get_by_role("button", name="Details").click()
        dialog = console.get_by_role("dialog")
        dialog.get_by_role("button", name="Who is similar?").click()
        dialog.locator(".match").filter(has_text="Hopper").wait_for()


@contextmanager
def gateway(shown: Shown, port: int) -> Iterator[str]:
    """Run another gateway of the service on a port. Yields its address. It is killed at the end."""
    settings = {**shown.service.child("gateway").environ(), "FACESEARCH_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "gateway"], env={**settings, "FACESEARCH_ADMIN_PORT": str(port + 1)}
    ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: is_ready(address))
            yield address
        finally:
            process.kill()


class TestAService:
    def test_that_is_gone_is_said_and_one_that_is_back_is_used_without_a_reload(
        self, page: Any, shown: Shown, photos: dict[str, Path], watched: Watched
    ) -> None:
        grace = add(shown, photos["hopper.jpg"], name="Grace")
        port = two_free_ports()
        with gateway(shown, port) as address:
            watched.origin = urlsplit(address).netloc
            enter(page, shown.key, address)
            page.evaluate("document.body.dataset.loaded = 'once'")
        watched.expected += ["net::ERR_CONNECTION_REFUSED", "net::ERR_EMPTY_RESPONSE", "net::ERR_SOCKET_NOT_CONNECTED"]
        again = page.get_by_role("alert").get_by_role("button", name="Try again")
        choose(page, photos["hopper.jpg"], "Who is this?")
        again.wait_for()
        page.get_by_text("The page asks again every few seconds").wait_for()
        visit(page, "People")
        again.wait_for()
        with gateway(shown, port):
            page.get_by_text("The service answers again.").wait_for()
            page.get_by_role("row", name="Grace").wait_for()
            visit(page, "Search")
            again.click()
            page.get_by_role("listitem").filter(has_text="Grace").wait_for()
        assert page.locator("body").get_attribute("data-loaded") == "once"
        assert shown.http.delete(f"/v1/persons/{grace}").json()["status"] == "OK"


LOADED = {"search": ".match", "add": ".invitation", "compare": ".invitation", "people": "tbody tr"}
"""What each view has once it shows all."""


class TestForEverybody:
    def test_a_view_that_was_left_follows_the_language(self, console: Any, photos: dict[str, Path]) -> None:
        choose(console, photos["coffee.png"], "Who is this?")
        console.get_by_role("alert").wait_for()
        visit(console, "People")
        console.get_by_role("combobox", name="Language").select_option("zh")
        console.locator("nav a").first.click()
        console.get_by_role("heading", name="这是谁").wait_for()
        assert "照片中没有找到人脸" in console.get_by_role("alert").inner_text()

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_no_view_has_a_serious_fault_of_accessibility_or_is_wider_than_the_screen(
        self, console: Any, shown: Shown, photos: dict[str, Path], theme: str
    ) -> None:
        from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 -- only where it is installed

        add(shown, photos["hopper.jpg"], name="n" * 128, external_id="e" * 64)  # the longest
        console.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for language in ("English", "中文"):
            console.get_by_role("combobox").first.select_option(label=language)
            for name, loaded in LOADED.items():
                console.set_viewport_size({"width": 360, "height": 800})
                console.locator(f"nav a[href='#{name}']").click()
                if name == "search":
                    console.locator("section.chooser input").set_input_files(photos["hopper.jpg"])
                console.locator(loaded).first.wait_for()
                found = Axe().run(console).response["violations"]
                assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
                for width in (360, 1600):
                    console.set_viewport_size({"width": width, "height": 800})
                    assert console.evaluate(WIDEST) <= width, name

    def test_a_search_needs_no_mouse(self, console: Any, shown: Shown, photos: dict[str, Path]) -> None:
        add(shown, photos["hopper.jpg"], name="Grace")
        with console.expect_file_chooser() as chooser:
            console.get_by_label("Who is this?", exact=True).press("Enter")
        chooser.value.set_files(photos["hopper.jpg"])
        console.locator(".match").wait_for()
        console.locator(".match").get_by_role("button", name="Details").press("Enter")
        console.get_by_role("dialog").get_by_role("heading", name="Person").wait_for()
        console.keyboard.press("Escape")
        assert console.get_by_role("dialog").count() == 0
