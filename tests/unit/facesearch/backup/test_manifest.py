"""The folder of a backup, and how a damaged or incomplete one is recognised."""

import json
import re
import stat
from importlib.metadata import version
from pathlib import Path

import pytest

from facesearch.backup import manifest
from shared.errors import OperatorError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished backup."""
    folder = tmp_path / "new" / "backup"
    manifest.begin(folder)
    (folder / manifest.CONTROL).write_text("control\n")
    (folder / manifest.FACES / "t.db.jsonl").write_text("faces\n")
    manifest.finish(folder, "embedded")
    return folder


def test_what_is_no_backup_says_what_is_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place, advice in (
        (tmp_path / "empty", "holds no backup; name the folder that `facesearch backup` wrote"),
        (folder.parent, f"name one of those in it, such as {folder}"),
    ):
        with pytest.raises(OperatorError, match=re.escape(advice)):
            manifest.read(place)


def damages(folder: Path) -> list[str]:
    return list(manifest.damages(folder, manifest.read(folder)))


def test_a_backup_is_private_to_its_owner_and_lists_every_file(folder: Path) -> None:
    made = manifest.read(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in made.files] == ["control.jsonl", "faces/t.db.jsonl"]
    assert made.bytes == len("control\nfaces\n")
    assert (made.faces, made.release, made.version) == ("embedded", version("facesearch"), 2)
    assert damages(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["control.jsonl", "faces", "manifest.json"]


def test_a_backup_with_snapshots_can_be_read_by_earlier_releases(tmp_path: Path) -> None:
    manifest.begin(tmp_path / "backup")
    assert manifest.finish(tmp_path / "backup", "qdrant").version == 1


def test_an_empty_folder_is_used_and_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    manifest.begin(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_backup_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(OperatorError, match="holds a backup already"):
        manifest.begin(folder)


def test_an_interrupted_backup_is_refused_as_such(folder: Path) -> None:
    (folder / manifest.MANIFEST).unlink()
    with pytest.raises(OperatorError, match="holds a backup that was cut short; remove it"):
        manifest.begin(folder)
    with pytest.raises(OperatorError, match=r"cut short: it has no manifest\.json"):
        manifest.read(folder)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("")
    with pytest.raises(OperatorError, match="is not empty"):
        manifest.begin(tmp_path)
    with pytest.raises(OperatorError, match="holds no backup"):
        manifest.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"cannot write to .*file/backup"):
        manifest.begin(tmp_path / "file" / "backup")


@pytest.mark.parametrize("name", ["control.jsonl", "faces/t.db.jsonl"])
def test_every_damaged_file_is_reported(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"x", bytes([whole[0] ^ 1]) + whole[1:], b""):
        path.write_bytes(damaged)
        (line,) = damages(folder)
        assert str(path) in line
        assert "checksum" in line
    path.unlink()
    (line,) = damages(folder)
    assert line == f"{path} cannot be read (No such file or directory); the backup is not whole"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": 1, "release": "1"}', '{"version": 2, "release": "1"}', "\udcff"]
)
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / manifest.MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OperatorError, match=r"manifest\.json is damaged"):
        manifest.read(folder)


def test_a_backup_of_a_later_release_is_refused_with_its_release(folder: Path) -> None:
    (folder / manifest.MANIFEST).write_text(json.dumps({"version": 3, "release": "9.1", "parts": []}))
    with pytest.raises(OperatorError, match=r"version 3, and this release reads versions up to 2; use release 9\.1"):
        manifest.read(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "faces/../../secret", ""])
def test_no_file_outside_the_folder_is_read(folder: Path, name: str) -> None:
    path = folder / manifest.MANIFEST
    text = json.loads(path.read_text())
    text["files"][0]["name"] = name
    path.write_text(json.dumps(text))
    (line,) = damages(folder)
    assert line == f"{path} is damaged: {name!r} is no file of a backup"
