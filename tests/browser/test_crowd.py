"""The consoles with a face database of a thousand persons: lists, files, and what confidences stand for there."""

import csv
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from browser.callers import TENANT, Shown, visit
from browser.programs import Programs
from facesearch.exchange import writing
from shared.heartbeat import Heartbeat, read_heartbeats
from worker.models.identity import Identity
from worker.store.base import Point


@pytest.fixture(scope="module", autouse=True)
def crowd(shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A facedb of a thousand strangers, which a file of exchange brings."""
    folder = tmp_path_factory.mktemp("crowd")
    with Redis.from_url(shown.service.broker) as redis:
        (beat,) = filter(None, read_heartbeats(redis).values())
    identity = Identity.parse(Heartbeat.model_validate_json(beat).identity)
    vectors = np.random.default_rng(0).normal(size=(1000, identity.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = [Point(uuid.UUID(int=number), f"person{number}", vector) for number, vector in enumerate(vectors)]
    writing.write(folder / "crowd.facedb", folder, "crowd", identity, people, lambda: 0)
    # In a process: here, Playwright's event loop runs.
    command = [sys.executable, "-m", "facesearch", "import", folder / "crowd.facedb", "--tenant", TENANT]
    settings = {**os.environ, **shown.service.settings, "FACESEARCH_DATA_DIR": str(shown.service.folder)}
    ended = subprocess.run([*command, "--facedb", "crowd"], env=settings, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_thousand_are_listed_found_and_saved(console: Any, programs: Programs) -> None:
    visit(console, "People")
    console.get_by_role("combobox", name="Face database").select_option("crowd")
    console.get_by_text("Persons: 1,000").wait_for()
    lines = console.locator("tbody tr")
    for count in range(100, 1000, 100):
        lines.nth(count - 1).wait_for()
        console.get_by_role("button", name="More").click()
    lines.nth(999).wait_for()
    assert console.get_by_role("button", name="More").is_hidden()
    with console.expect_download() as saved:
        console.get_by_role("button", name="Save as CSV").click()
    rows = list(csv.DictReader(Path(saved.value.path()).read_text("utf-8-sig").splitlines()))
    assert len(rows) == 1000
    pages, *files = programs.said(console.locator("details.programs").filter(has_text="The whole list"))
    listed = [person for page in pages.splitlines() for person in json.loads(page)["message"]["persons"]]
    assert [person["person_id"] for person in listed] == [row["person_id"] for row in rows]
    assert [list(csv.DictReader(file.splitlines())) for file in files] == [rows, rows]
    console.get_by_role("search").get_by_label("Name").fill("person777")
    console.get_by_role("button", name="Filter").click()
    lines.nth(1).wait_for(state="detached")
    assert "person777" in lines.first.inner_text()


def test_an_operator_has_its_confidences_estimated_changed_and_changed_back(
    operators: Any, shown: Shown, programs: Programs
) -> None:
    visit(operators, "Tenants")
    operators.locator("details.card > summary").filter(has_text=TENANT).click()
    operators.get_by_role("row", name="crowd").get_by_role("button", name="Confidence").click()
    dialog = operators.get_by_role("dialog", name="What confidences stand for in crowd")
    dialog.get_by_text("Confidences are given by the calibration of the model.").wait_for()
    dialog.get_by_role("button", name="Estimate", exact=True).click()
    dialog.get_by_text("Faces: 1,000; pairs of strangers: 499,500").wait_for()
    eighty = dialog.get_by_role("row").filter(has=operators.get_by_role("rowheader", name="80"))
    assert eighty.get_by_role("cell").first.inner_text() == "1 in 1,000"
    dialog.get_by_role("button", name="Estimate and use it from now on").click()
    dialog.get_by_text("Confidences are given by an estimate of 1,000 faces").wait_for()
    use, model, undo = (dialog.locator("section").nth(number).locator("details.programs") for number in (1, 2, 3))
    changes = [
        *programs.answers(model, "Python"),
        *programs.answers(undo, "curl"),
        *programs.answers(use, "JavaScript"),
    ]
    assert [change["table"] is None for change in changes] == [True, False, False]
    dialog.get_by_role("button", name="Undo the last change").click()
    dialog.get_by_role("button", name="Use the model's calibration again").click()
    dialog.get_by_text("Confidences are given by the calibration of the model.").wait_for()
    assert shown.operate("GET", f"/{TENANT}/facedbs/crowd/confidence")["table"] is None
