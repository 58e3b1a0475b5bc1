"""Which backups of a folder are kept, which are removed, and which files are left alone."""

import fcntl
from pathlib import Path

import pytest

from facesearch.backup import manifest, rotation
from shared.errors import OperatorError

DAYS = [f"2026-01-{day:02}T03-17-00Z" for day in range(1, 6)]


def make_backup(folder: Path, name: str, *, whole: bool = True) -> Path:
    """Make a backup of that name. whole: finished, not cut short."""
    manifest.begin(folder / name)
    if whole:
        manifest.finish(folder / name, "embedded")
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("keep", [1, 2, 5, 9])
def test_the_newest_backups_are_kept(tmp_path: Path, keep: int) -> None:
    backups = [make_backup(tmp_path, name) for name in DAYS]
    removed = rotation.prune(tmp_path, backups[-1], keep)
    assert names(tmp_path) == DAYS[-keep:]
    assert removed == backups[:-keep]


def test_a_new_backup_is_kept_although_the_clock_was_set_back(tmp_path: Path) -> None:
    first, *_ = [make_backup(tmp_path, name) for name in DAYS]
    rotation.prune(tmp_path, first, 2)
    assert names(tmp_path) == [DAYS[0], DAYS[-1]]


def test_interrupted_backups_are_removed_and_do_not_count(tmp_path: Path) -> None:
    make_backup(tmp_path, DAYS[0])
    make_backup(tmp_path, DAYS[1])
    make_backup(tmp_path, DAYS[2], whole=False)
    rotation.prune(tmp_path, make_backup(tmp_path, DAYS[3]), 2)
    assert names(tmp_path) == [DAYS[1], DAYS[3]]


@pytest.mark.parametrize("name", ["monday", "2026-01-01", f"{DAYS[0]}.part", "lost+found"])
def test_files_of_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    make_backup(tmp_path, name)
    rotation.prune(tmp_path, make_backup(tmp_path, DAYS[1]), 1)
    assert names(tmp_path) == sorted([name, DAYS[1]])


def test_two_backups_are_never_written_into_one_folder_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with rotation.writing(folder) as first:
        assert first.parent == folder
        assert rotation._NAME.fullmatch(first.name)
        with pytest.raises(OperatorError, match="another backup is being written"), rotation.writing(folder):
            pass
    with rotation.writing(folder):
        pass


def test_a_folder_that_is_not_writable_is_refused_with_the_owner_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of a container whose mounted folder was made by root."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("facesearch.backup.manifest.os.getuid", lambda: 10001)
    monkeypatch.setattr(Path, "mkdir", refuse)
    for write in (lambda: manifest.begin(tmp_path / "a"), lambda: rotation.writing(tmp_path / "a").__enter__()):
        with pytest.raises(OperatorError, match=r"Permission denied.*runs as user 10001.*chown"):
            write()


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OperatorError, match="without locks"), rotation.writing(tmp_path):
        pass
