"""The programs beside the actions of the consoles: each is run as the page shows it, and has the answer of the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from browser.callers import Shown, add, choose, stored, visit
from browser.programs import LANGUAGES, Programs
from shared.contract import FACE_DELETED

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl; on Debian: apt-get install curl")


@contextmanager
def answer_to(page: Any, method: str, path: str) -> Iterator[list[Any]]:
    """Yield a list that afterwards has the message of the answer to what the page sent meanwhile."""
    found: list[Any] = []
    with page.expect_response(lambda one: one.request.method == method and path in one.url) as answered:
        yield found
    found.append(answered.value.json()["message"])


def people(matches: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    return [(match["person_id"], match["name"], match["confidence"]) for match in matches]


def test_a_search_and_what_is_done_with_its_faces(
    console: Any, shown: Shown, photos: dict[str, Path], programs: Programs
) -> None:
    grace = add(shown, photos["hopper.jpg"], name="Grace")
    with answer_to(console, "POST", "v1/searchface") as page:
        choose(console, photos["hopper.jpg"], "Who is this?")
    for (face,) in programs.answers(console.locator(".results > details.programs")):
        assert people(face["matches"]) == people(page[0][0]["matches"]) == [(grace, "Grace", 100)]
    assert shown.key not in console.content()

    with answer_to(console, "POST", "v1/addface") as page:
        console.get_by_role("button", name="Add this photo to the person").click()
    assert programs.answers(console.locator(".done details.programs")) == page * 3
    assert [person["faces"] for person in stored(shown)] == [5]

    choose(console, photos["collins.png"], "Who is this?")
    unknown = console.locator("section.face")
    unknown.get_by_label("Name").fill("Eileen")
    unknown.get_by_role("button", name="Add as a new person").click()
    added = programs.answers(unknown.locator("details.programs"))
    assert [[one["name"] for one in answer] for answer in added] == [["Eileen"]] * 3
    assert [person["name"] for person in stored(shown)] == ["Grace"] + ["Eileen"] * 4


def test_an_add_and_a_comparison(console: Any, shown: Shown, photos: dict[str, Path], programs: Programs) -> None:
    visit(console, "Add")
    choose(console, photos["both.jpg"], "Photo of the person to add")
    console.get_by_label("External id").fill("it's-$navy`1")
    with answer_to(console, "POST", "v1/addface") as page:
        console.get_by_role("button", name="Add", exact=True).click()
    for answer in programs.answers(console.locator(".results > details.programs")):
        assert [one["person_id"] for one in answer] == [one["person_id"] for one in page[0]]
        assert all(one["existing"] for one in answer)
    assert [person["external_id"] for person in stored(shown)] == ["it's-$navy`1"] * 2

    visit(console, "Compare")
    choose(console, photos["hopper.jpg"], "First photo")
    with answer_to(console, "POST", "v1/facecompare") as page:
        choose(console, photos["collins.png"], "Second photo")
    assert programs.answers(console.locator(".results > details.programs")) == page * 3


def open_details(page: Any, name: str) -> Any:
    """Open the dialog of a person and return it."""
    page.get_by_role("row", name=name).get_by_role("button", name="Details").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("section").first.wait_for()
    return dialog


def beside(dialog: Any, button: str) -> Any:
    """Return where the programs are folded away beside a button."""
    section = dialog.locator("section").filter(has=dialog.page.get_by_role("button", name=button, exact=True))
    return section.locator("details.programs")


def test_people_and_each_of_them(console: Any, shown: Shown, photos: dict[str, Path], programs: Programs) -> None:
    names = ("Grace", "Ada", *LANGUAGES)
    ids = [add(shown, photos["hopper.jpg"], name=name, external_id="navy-1") for name in names]
    add(shown, photos["hopper.jpg"], person_id=ids[0])
    visit(console, "People")
    console.get_by_role("search").get_by_label("External id").fill("navy-1")
    with answer_to(console, "GET", "v1/persons") as page:
        console.get_by_role("button", name="Filter").click()
    assert [person["person_id"] for person in page[0]["persons"]] == ids
    assert programs.answers(console.locator("details.programs").filter(has_text="The same as a program")) == page * 3

    dialog = open_details(console, "Grace")
    dialog.get_by_label("Name").fill("Hopper")
    with answer_to(console, "PATCH", "v1/persons") as page:
        dialog.get_by_role("button", name="Save").click()
    dialog.locator("strong").filter(has_text="Hopper").wait_for()
    assert programs.answers(beside(dialog, "Save")) == page * 3
    with answer_to(console, "POST", "v1/searchface") as page:
        dialog.get_by_role("button", name="Who is similar?").click()
    assert [people(answer) for answer in programs.answers(beside(dialog, "Who is similar?"))] == [people(page[0])] * 3
    console.keyboard.press("Escape")

    dialog = open_details(console, "Hopper")
    assert programs.answers(beside(dialog, "Delete").first, "curl") == [FACE_DELETED]
    console.keyboard.press("Escape")
    assert [person["faces"] for person in stored(shown)] == [1] * 5

    dialog = open_details(console, "Ada")
    dialog.get_by_role("button", name="Delete the person").click()
    with answer_to(console, "DELETE", "v1/persons") as page:
        console.get_by_role("dialog", name="Delete the person").get_by_role("button", name="Delete", exact=True).click()
    for language in LANGUAGES:
        assert programs.answers(beside(open_details(console, language), "Delete the person"), language) == page
        console.keyboard.press("Escape")
    assert [person["name"] for person in stored(shown)] == ["Hopper"]


def test_a_folder(console: Any, shown: Shown, photos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "our staff").mkdir()
    for name in ("hopper.jpg", "collins.png", "coffee.png"):
        shutil.copy(photos[name], tmp_path / "our staff")
    visit(console, "Add")
    console.get_by_text("Add a folder of photos").click()
    console.get_by_label("Choose a folder").first.set_input_files(tmp_path / "our staff")
    console.get_by_text("3 of 3 photos, 1 failed").wait_for()
    for printed in Programs(shown, tmp_path).said(console.locator("details.programs").filter(has_text="whole folder")):
        lines = dict(line.replace(": {", " {", 1).split(" {", 1) for line in printed.splitlines())
        assert {name: "FACE_DETECT_FAILED" in answer for name, answer in lines.items()} == {
            "our staff/hopper.jpg": False,
            "our staff/collins.png": False,
            "our staff/coffee.png": True,
        }
    assert sorted(person["name"] for person in stored(shown)) == ["collins"] * 4 + ["hopper"] * 4


def test_what_an_operator_sees(operators: Any, programs: Programs) -> None:
    state, trail = (operators.locator("#view details.programs").nth(place) for place in (0, 1))
    assert [answer["release"] for answer in programs.answers(state)] == [version("facesearch")] * 3
    assert all(programs.answers(trail))
    visit(operators, "Usage")
    with answer_to(operators, "GET", "admin/v1/usage") as page:
        operators.get_by_label("Days", exact=True).select_option("7")
    for answer in programs.answers(operators.locator("#view details.programs")):
        assert answer.keys() == page[0].keys()
    with answer_to(operators, "GET", "admin/v1/tenants") as page:
        visit(operators, "Tenants")
    assert programs.answers(operators.locator("#view > div > details.programs").last) == page * 3


def test_what_an_operator_makes_and_removes(operators: Any, shown: Shown, programs: Programs) -> None:
    def made(form: Any, label: str, *languages: str) -> list[Any]:
        """Return what the programs beside a form make, each under the name of its language."""
        running = []
        for language in languages:
            form.get_by_label(label).fill(language)
            running.append(programs.start(form.locator("xpath=following-sibling::details[1]"), language))
        return [program.answer() for program in running]

    def removed(place: Any, button: str, language: str) -> Any:
        """Return what the program says that the question before a removal shows."""
        place.get_by_role("button", name=button).click()
        question = operators.get_by_role("dialog")
        answer = programs.answers(question.locator("details.programs"), language)[0]
        question.get_by_role("button", name="Cancel").click()
        return answer

    visit(operators, "Tenants")
    assert made(operators.locator("form.inline").first, "New tenant", "curl")[0]["name"] == "curl"
    visit(operators, "Service")
    visit(operators, "Tenants")
    section = operators.locator("details.card").filter(has=operators.locator("summary", has_text="curl"))
    section.locator("summary").first.click()
    (facedb,) = made(section.locator("form").first, "New face database", "Python")
    assert facedb["name"] == "Python"
    section.get_by_label("delete").uncheck()
    issued = made(section.locator("form").last, "New key", *LANGUAGES)
    assert [(key["name"], key["scopes"]) for key in issued] == [(name, ["add", "search"]) for name in LANGUAGES]
    section.locator("summary").first.click()
    section.locator("summary").first.click()
    facedbs, keys = section.get_by_role("group", name="Face databases"), section.get_by_role("group", name="Keys")
    assert removed(facedbs.get_by_role("row", name="Python"), "Drop", "Python") == "facedb Python dropped"
    assert removed(keys.get_by_role("row", name="JavaScript"), "Revoke", "JavaScript").endswith("revoked")
    assert removed(keys.get_by_role("row", name="Python"), "Revoke", "curl").endswith("revoked")
    assert [key["name"] for key in shown.operate("GET", "/curl/keys")] == ["curl"]
    assert removed(section, "Drop the tenant", "JavaScript") == "tenant curl dropped"
