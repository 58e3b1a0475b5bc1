"""The data directory: its lock, its permissions, its keys, and sockets whose path is short enough."""

import os
import stat
from pathlib import Path

import pytest

from facesearch.embedded import data_directory
from shared.errors import OperatorError


def test_a_second_instance_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path / "new" / "folder") as folder:
        with pytest.raises(OperatorError, match="in use by another instance"), data_directory.opened(folder):
            pass
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with data_directory.opened(folder):
        pass


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_readable_data_directory_is_made_private(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir(mode=0o755)
    ours.chmod(0o755)
    for _ in ("empty", "of an earlier release"):
        with data_directory.opened(ours):
            assert permissions(ours) == 0o700
        ours.chmod(0o755)


def test_the_permissions_of_a_folder_with_other_files_are_unchanged(tmp_path: Path) -> None:
    shared = tmp_path / "home"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "index.html").touch()
    with data_directory.opened(shared):
        assert permissions(shared) == 0o755


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"cannot use the data directory .*file/x: Not a directory"):
        data_directory.opened(tmp_path / "file" / "x").__enter__()


def test_a_folder_of_another_user_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that no service runs on it. The superuser, who may run the tests, may read everything."""
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    data_directory.require_readable(tmp_path / "nothing there")
    with pytest.raises(OperatorError, match=f"{tmp_path} belongs to user {tmp_path.owner()}, .* run the command as"):
        data_directory.require_readable(tmp_path)


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a-key"
    key = data_directory.load_or_create_key(path)
    assert len(key) >= 32
    assert data_directory.load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("\n")
    with pytest.raises(OperatorError, match="is empty"):
        data_directory.load_or_create_key(tmp_path / "api-key")


def test_sockets_are_in_the_data_directory(tmp_path: Path) -> None:
    folder = Path(os.path.relpath(tmp_path))
    with data_directory.run_folder(folder) as run:
        assert run == folder / "run"
        (run / "broker.sock").touch()
    with data_directory.run_folder(folder) as run:
        assert list(run.iterdir()) == [], "files of a killed instance are removed"


def test_sockets_are_in_a_short_private_folder_if_the_path_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    (deep / "run").symlink_to("/nowhere")  # left by a killed instance
    with data_directory.run_folder(deep) as run:
        assert len(str(run)) < data_directory.LONGEST_SOCKET_PATH - len("/broker.sock")
        assert run.samefile(deep / "run"), "found from the data directory"
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert not run.exists()
    assert not (deep / "run").is_symlink()


def test_the_brokers_socket_is_found_from_the_data_directory(tmp_path: Path) -> None:
    assert not data_directory.broker_socket(tmp_path).exists()
    for folder in (tmp_path / "short", tmp_path / ("d" * 100)):
        folder.mkdir()
        with data_directory.run_folder(folder) as run:
            (run / "broker.sock").touch()
            assert data_directory.broker_socket(folder) == run / "broker.sock"
        (folder / "run" / "broker.sock").unlink(missing_ok=True)
        assert not data_directory.broker_socket(folder).exists()
