"""Which results are kept."""

import sys
from pathlib import Path

import pytest
import results


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def test_a_full_run_is_kept_with_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/store.py"])
    results.keep("store", {"faces": 1})
    results.keep("store", {"faces": 2})
    kept = results.kept("store")
    assert kept["faces"] == 2
    assert kept["machine"]["cores"] >= 1


def test_a_quick_run_is_not_kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/store.py", "--quick"])
    results.keep("store", {"faces": 1})
    assert not list(folder.iterdir())
