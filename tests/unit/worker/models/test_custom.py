"""Description files of custom models: they are read back as written, and refused after any change."""

import json
import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import OperatorError
from worker.models import catalog, custom
from worker.models.calibration import SFACE, Calibration
from worker.models.catalog import Embedder
from worker.models.spaces import spaces_of

OWN = Embedder(
    name="own-model-2",
    file="Own Model.onnx",
    sha256="ab" * 32,
    size=7,
    sources=(),
    licence="MIT",
    commercial=True,
    input_size=160,
    channels="BGR",
    mean=127.5,
    scale=128.0,
    dimension=512,
)
BUILT_IN = catalog.find("arcface-lresnet100", "embedding")

names = st.from_regex(rf"\A{custom.NAME}\Z").filter(lambda name: len(name) <= 64)
numbers = st.floats(allow_nan=False, allow_infinity=False)
embedders = st.builds(
    replace,
    st.just(OWN),
    size=st.integers(1, 2**40),
    licence=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    commercial=st.booleans(),
    input_size=st.integers(1, custom.LARGEST_SIDE),
    channels=st.sampled_from(["RGB", "BGR"]),
    mean=numbers,
    scale=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    dimension=st.integers(2, 10_000),
    calibration=st.sampled_from([None, SFACE]),
)


def edited(path, **changes):
    """Change fields of the file and keep its seal."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def resealed(path, **changes):
    """Change fields of the file and make a valid seal."""
    content = {k: v for k, v in (json.loads(path.read_text()) | changes).items() if k != "seal"}
    path.write_text(json.dumps(content | {"seal": custom._seal(content)}))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@given(model=embedders)
def test_a_description_is_read_back(scratch, model):
    custom.write(model, scratch)
    assert custom.find(model.name, "embedding", scratch) == model


@given(name=names)
def test_every_valid_name_is_found(scratch, name):
    if any(name == model.name for model in catalog.MODELS):
        return
    path = custom.write(replace(OWN, name=name), scratch)
    assert custom.find(name, "embedding", scratch).name == name
    path.unlink()


def test_a_description_has_every_field_of_an_embedder_except_sources_and_ranges(tmp_path):
    content = json.loads(custom.write(OWN, tmp_path).read_text())
    known = {field.name for field in fields(Embedder)} - {"task", "sources", "ranges"}
    assert content.keys() == known | {"format", "seal"}


def test_models_of_the_catalogue_are_found_without_a_folder(tmp_path):
    for model in catalog.MODELS:
        assert custom.find(model.name, model.task, tmp_path / "none") is model


def test_an_unknown_name_is_refused_with_catalogue_and_custom_names(tmp_path):
    custom.write(OWN, tmp_path)
    with pytest.raises(OperatorError, match=r"no embedding model is called 'x'.*sface-2021dec.*own-model-2$"):
        custom.find("x", "embedding", tmp_path)
    with pytest.raises(OperatorError, match=r"no detection model is called 'own-model-2'"):
        custom.find(OWN.name, "detection", tmp_path)


@pytest.mark.parametrize("name", [model.name for model in catalog.MODELS])
def test_a_name_of_the_catalogue_is_refused(tmp_path, name):
    with pytest.raises(OperatorError, match=f"{name} is a model of the catalogue; choose another name"):
        custom.write(replace(OWN, name=name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_description_with_a_name_of_the_catalogue_is_ignored(tmp_path):
    custom.write(OWN, tmp_path).rename(tmp_path / f"{BUILT_IN.name}.json")
    assert custom.find(BUILT_IN.name, "embedding", tmp_path) is BUILT_IN
    assert custom.names(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Own"}, "name"),
        ({"name": "../own"}, "name"),
        ({"name": "own:v1"}, "name"),
        ({"sha256": "ab"}, "sha256"),
        ({"file": "../own.onnx"}, "file"),
        ({"file": "own.pt"}, "file"),
        ({"size": None}, "size"),
        ({"licence": ""}, "licence"),
        ({"input_size": 0}, "input_size"),
        ({"input_size": 100_000}, "input_size"),
        ({"channels": "GBR"}, "channels"),
        ({"mean": float("nan")}, "mean"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"dimension": 1}, "dimension"),
    ],
)
def test_an_invalid_field_is_neither_written_nor_read(tmp_path, changes, complaint):
    with pytest.raises(OperatorError, match=f"cannot be described: {complaint}: "):
        custom.write(replace(OWN, **changes), tmp_path)
    assert list(tmp_path.iterdir()) == []
    if "name" not in changes and changes != {"size": None}:
        resealed(custom.write(OWN, tmp_path), **changes)
        with pytest.raises(OperatorError, match=f"cannot be used: {complaint}"):
            custom.find(OWN.name, "embedding", tmp_path)


@pytest.mark.parametrize(
    "changes", [{"mean": 0.0}, {"channels": "RGB"}, {"commercial": False}, {"sha256": "cd" * 32}, {"more": 1}]
)
def test_an_edited_description_is_refused(tmp_path, changes):
    edited(custom.write(OWN, tmp_path), **changes)
    with pytest.raises(OperatorError, match=r"own-model-2.json cannot be used: it was edited or damaged.*models add"):
        custom.find(OWN.name, "embedding", tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b"{}", "it is of format None"),
        (b'{"format": 2}', "it is of format 2 where this release knows 1"),
        (b'{"format": 1}', "it was edited or damaged"),
    ],
)
def test_a_file_that_is_no_description_is_refused(tmp_path, content, complaint):
    (tmp_path / "own.json").write_bytes(content)
    with pytest.raises(OperatorError, match=complaint):
        custom.find("own", "embedding", tmp_path)


def test_a_truncated_description_is_refused(tmp_path):
    path = custom.write(OWN, tmp_path)
    whole = path.read_bytes().rstrip()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(OperatorError, match="cannot be used"):
            custom.find(OWN.name, "embedding", tmp_path)


def test_a_description_under_another_name_is_refused(tmp_path):
    custom.write(OWN, tmp_path).rename(tmp_path / "other.json")
    with pytest.raises(OperatorError, match="it describes own-model-2"):
        custom.find("other", "embedding", tmp_path)


def test_a_calibration_that_does_not_rise_is_refused(tmp_path):
    resealed(custom.write(OWN, tmp_path), calibration=[[-1, 0], [0.5, 50], [0.4, 60], [1, 100]])
    with pytest.raises(OperatorError, match="must rise strictly"):
        custom.find(OWN.name, "embedding", tmp_path)


def test_an_unreadable_description_does_not_hide_others(tmp_path):
    custom.write(OWN, tmp_path)
    (tmp_path / "broken.json").write_text("{")
    found = custom.all_models(tmp_path)
    assert [model for model in found if isinstance(model, catalog.Model)] == [*catalog.MODELS, OWN]
    (error,) = (model for model in found if isinstance(model, OperatorError))
    assert "broken.json" in str(error)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=re.escape(f"cannot write {tmp_path / 'file'}")):
        custom.write(OWN, tmp_path / "file")


STEEP = Calibration(((-1, 0), (0.5, 80), (1, 100)))


@pytest.mark.parametrize("model", [OWN, BUILT_IN, catalog.find("sface-2021dec", "embedding")], ids=lambda m: m.name)
def test_a_saved_calibration_is_used_and_does_not_change_the_identity(tmp_path, model):
    if model is OWN:
        custom.write(OWN, tmp_path)
    assert custom.is_own(model, tmp_path) == (model is OWN)
    custom.write_calibration(model, STEEP, tmp_path)
    found = custom.find(model.name, "embedding", tmp_path)
    assert found == replace(model, calibration=STEEP)
    assert custom.is_own(model, tmp_path)
    assert spaces_of(found).preferred == spaces_of(model).preferred


def test_a_calibration_of_another_file_is_refused(tmp_path):
    path = custom.write_calibration(BUILT_IN, STEEP, tmp_path)
    resealed(path, sha256="cd" * 32)
    with pytest.raises(OperatorError, match=r"it is of another model.*facesearch calibrate --write"):
        custom.find(BUILT_IN.name, "embedding", tmp_path)


def test_an_edited_calibration_is_refused(tmp_path):
    path = custom.write_calibration(BUILT_IN, STEEP, tmp_path)
    edited(path, calibration=[[-1, 0], [1, 100]])
    with pytest.raises(OperatorError, match="it was edited or damaged"):
        custom.find(BUILT_IN.name, "embedding", tmp_path)


@pytest.mark.parametrize(
    "changes", [{"channels": "RGB"}, {"mean": 0.0}, {"scale": 127.5}, {"input_size": 112}, {"sha256": "cd" * 32}]
)
def test_another_input_or_file_is_another_identity(changes):
    assert spaces_of(replace(OWN, **changes)).preferred != spaces_of(OWN).preferred


@pytest.mark.parametrize("changes", [{"licence": "GPL-3.0-only"}, {"commercial": False}, {"file": "b.onnx"}])
def test_other_fields_do_not_change_the_identity(changes):
    assert spaces_of(replace(OWN, **changes)).preferred == spaces_of(OWN).preferred
