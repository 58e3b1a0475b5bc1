"""`facesearch evaluate` on a folder of people, with the default models."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facesearch.cli.main import main
from portraits import astronaut_png, bmp, darken, faceless_png, hopper_jpeg, pixels, png, reencode, scale

pytestmark = pytest.mark.slow

DARK = png(np.zeros((64, 64, 3), np.uint8))
CUT_OFF = hopper_jpeg()[:20_000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, weights: object) -> Path:  # noqa: ARG001 -- pulls the models
    """Seven photos of three people, two of them without a face, one damaged photo, and four files to be skipped."""
    root = tmp_path_factory.mktemp("people")
    photos = {
        "eileen/a.png": astronaut_png(),
        "eileen/b.jpg": reencode(astronaut_png()),
        "eileen/c.bmp": bmp(pixels(scale(astronaut_png(), 0.5))),
        "grace/a.jpg": hopper_jpeg(),
        # Recognised by its content, not by its name.
        "grace/b": darken(hopper_jpeg()),
        "grace/c.png": faceless_png(),
        "nobody/a.png": DARK,
        "nobody/cut-off.jpg": CUT_OFF,
        "eileen/notes.txt": b"not a photo",
        "eileen/photo.gif": b"GIF89a",
        "readme.txt": b"in no person's folder",
        "grace/inner/a.jpg": hopper_jpeg(),
    }
    for name, data in photos.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return run(folder, "--json", "--threads", 2, "--report", folder.parent / "report.html")


def test_photos_are_counted_by_their_outcome(result: Result) -> None:
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)
    assert (written["photos"], written["people"], written["detected"]) == (7, 3, 5)
    assert (written["without_face"], written["poor"], written["skipped"], written["unreadable"]) == (2, 0, 4, 1)
    assert written["pairs"] == {"genuine": 6, "strangers": 15}
    assert written["model"].startswith("sface-2021dec-int8bq:")


def test_a_damaged_photo_is_reported_in_one_line_and_skipped(result: Result) -> None:
    (line,) = (line for line in result.stderr.splitlines() if "damaged" in line)
    assert "cut-off.jpg" in line


def test_two_people_are_distinguished_and_a_photo_without_a_face_counts_as_refused(result: Result) -> None:
    written = json.loads(result.stdout)
    # Of six genuine pairs, the two with the cup of coffee are never accepted.
    assert written["tar_at_far"]["1e-3"] == pytest.approx(4 / 6)
    assert written["at_confidence"]["95"]["false_rejects"] == 2
    assert written["at_confidence"]["80"]["false_accepts"] == 0
    assert written["rank1"] == pytest.approx(3 / 4)


def test_the_report_shows_no_name(result: Result, folder: Path) -> None:
    text = (folder.parent / "report.html").read_text()
    assert "report written to" in result.stderr
    assert text.count("<svg") == 3
    assert not any(name in text for name in ("eileen", "grace", "cut-off", str(folder)))


def test_the_output_format_and_threads_do_not_change_the_results(result: Result, folder: Path) -> None:
    alone = run(folder, "--json", "--threads", 1)
    assert json.loads(alone.stdout) == json.loads(result.stdout)
    words = run(folder).stdout
    for title in (
        "Verification",
        "Identification among 3 people",
        "Error rates by confidence",
        "Expected false matches by size of the gallery",
    ):
        assert title in words
    assert "7 photos of 3 people; a face was found on 5." in words


def test_a_face_below_the_quality_gate_of_a_search_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in ("eileen", "grace"):
        shown = folder.parent / "small" / person
        shown.mkdir(parents=True)
        for number, photo in enumerate((astronaut_png(), reencode(astronaut_png()))):
            (shown / f"{number}.png").write_bytes(scale(photo, 0.3))
    strict = {}
    for mode in ("off", "strict"):
        monkeypatch.setenv("FACESEARCH_QUALITY_SEARCH", mode)
        strict[mode] = run(folder.parent / "small", "--json")
    assert json.loads(strict["off"].stdout)["detected"] == 4
    assert strict["strict"].exit_code == 1
    assert "no face was found on any of the 4 photos" in strict["strict"].stderr


def test_a_folder_of_damaged_photos_is_refused(tmp_path: Path) -> None:
    for person in ("ann", "bob"):
        (tmp_path / person).mkdir()
        for number in range(2):
            (tmp_path / person / f"{number}.jpg").write_bytes(CUT_OFF)
    damaged = run(tmp_path)
    assert damaged.exit_code == 1
    assert "0 photos of 0 people that can be read" in damaged.stderr.splitlines()[-1]
