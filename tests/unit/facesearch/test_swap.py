"""The contents of a data directory are replaced as a whole or not at all."""

import shutil
from pathlib import Path

import pytest

from facesearch.embedded import data_directory, swap


def contents(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


OLD = {"faces/a": "old", "valkey/b": "old", "api-key": "old"}
NEW = {"faces/c": "new", "valkey/d": "new", "api-key": "new"}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_every_entry_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path, {**OLD, "admin-key": "old"})
    with swap.replacing(tmp_path) as making:
        fill(making, NEW)
    assert contents(tmp_path) == {**NEW, "admin-key": "old"}


def test_an_error_changes_nothing_and_leaves_no_files(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    with pytest.raises(IsADirectoryError), swap.replacing(tmp_path) as making:
        fill(making, {**NEW, "faces": "no file can be called like a folder"})
    assert contents(tmp_path) == OLD
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "valkey", "api-key"}


def test_files_of_a_killed_restore_are_removed(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    fill(tmp_path / "restoring", {"faces/c": "half"})
    with data_directory.opened(tmp_path) as folder:
        assert contents(folder)["faces/a"] == "old"
        with swap.replacing(folder) as making:
            assert list(making.iterdir()) == []
            fill(making, NEW)
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize("moved", range(4))
def test_a_restore_that_was_killed_while_moving_is_finished_on_the_next_start(tmp_path: Path, moved: int) -> None:
    fill(tmp_path, OLD)
    fill(tmp_path / "restored", NEW)
    for new in sorted((tmp_path / "restored").iterdir())[:moved]:  # moved before the process was killed
        old = tmp_path / new.name
        if old.is_dir():
            shutil.rmtree(old)
        new.replace(old)
    with data_directory.opened(tmp_path) as folder:
        assert contents(folder) == NEW
    assert not (tmp_path / "restored").exists()


def test_a_restore_that_was_killed_while_removing_old_files_is_finished(tmp_path: Path) -> None:
    fill(tmp_path, {"valkey/b": "old"})  # faces are removed already
    fill(tmp_path / "restored", NEW)
    with data_directory.opened(tmp_path) as folder:
        assert contents(folder) == NEW
