"""`facesearch evaluate` refuses a folder that cannot be evaluated in one line, before it loads a model."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from facesearch.cli.main import main
from portraits import astronaut_png, hopper_jpeg


def complaint(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)], env={"FACESEARCH_MODELS_DIR": "/nowhere"})
    assert result.exit_code == 1, result.output
    assert not result.stdout
    # Without a terminal the label of the progress bar may come before it.
    (line,) = (line for line in result.stderr.splitlines() if line not in {"", "photos"})
    assert line.startswith("facesearch: ")
    return line


def people(folder: Path, **photos: list[bytes]) -> Path:
    for person, images in photos.items():
        (folder / person).mkdir()
        for number, data in enumerate(images):
            (folder / person / f"{number}.jpg").write_bytes(data)
    return folder


def test_a_missing_folder(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(hopper_jpeg())
    for missing in (tmp_path / "missing", file):
        assert f"{missing} is not a folder" in complaint(missing)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "has no photos" in complaint(tmp_path)


def test_photos_outside_of_a_persons_folder(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(hopper_jpeg())
    assert "one folder a person" in complaint(tmp_path)


@pytest.mark.parametrize(
    "photos", [{"ann": [astronaut_png()] * 3}, {"ann": [astronaut_png()], "grace": [hopper_jpeg()]}]
)
def test_one_person_alone_or_one_photo_of_each(tmp_path: Path, photos: dict[str, list[bytes]]) -> None:
    assert "two people, and two photos of one of them" in complaint(people(tmp_path, **photos))


def test_models_that_are_not_pulled(tmp_path: Path) -> None:
    folder = people(tmp_path, ann=[astronaut_png()] * 2, grace=[hopper_jpeg()])
    assert "run `facesearch models pull`" in complaint(folder)


def test_a_report_that_cannot_be_written_is_refused_before_the_evaluation(tmp_path: Path) -> None:
    folder = people(tmp_path, ann=[astronaut_png()] * 2, grace=[hopper_jpeg()])
    assert "choose another place with --report" in complaint(folder, "--report", tmp_path / "missing" / "report.html")
