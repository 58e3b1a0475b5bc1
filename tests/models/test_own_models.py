"""A custom embedder, from its file to embeddings of real photos: each field of its description has an effect."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from facesearch.cli.main import main
from facesearch.evaluation import calibrate
from portraits import astronaut_png, darken, hopper_jpeg, jpeg, pixels
from shared.errors import FaceNotDetected
from shared.settings import Settings
from tiny_embedders import GRID, expected, grid_means, model, saved
from worker.models import catalog, custom, files
from worker.models.spaces import spaces_of
from worker.models.versions import PREPARATION_VERSION
from worker.runtime import open_faces
from worker.vision.decode import decode
from worker.vision.geometry import align

pytestmark = pytest.mark.slow

PORTRAITS = {"astronaut": astronaut_png(), "hopper": hopper_jpeg()}


def copy_prepared(graph, folder):
    """Copy a prepared graph with its digest."""
    for path in graph.parent.glob(f"{graph.name}*"):
        shutil.copy(path, folder)


@pytest.fixture
def folder(tmp_path, weights):
    """A models folder that contains the detector only."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(weights.detector_original, folder)
    copy_prepared(weights.detector, folder)
    return folder


@pytest.fixture
def command(folder):
    """Runs a command with that models folder. Returns its exit status and output."""

    def run(*arguments, **variables):
        environment = {"FACESEARCH_MODELS_DIR": str(folder), "FACESEARCH_ACCEPT_NONCOMMERCIAL": "true", **variables}
        return CliRunner(env=environment).invoke(main, list(map(str, arguments)), catch_exceptions=False)

    return run


@pytest.fixture
def fails(folder, command):
    """Requires that a command ends with one line that matches, and adds no description."""

    def run(text, *arguments, **variables):
        before = custom.names(folder)
        result = command(*arguments, **variables)
        assert result.exit_code == 1
        assert re.search(text, result.stderr), result.stderr
        assert result.stderr.splitlines()[-1].startswith("facesearch: ")
        assert custom.names(folder) == before

    return run


@pytest.fixture
def file(tmp_path):
    """A model file that takes crops of 112 pixels."""
    return saved(grid_means(112), tmp_path / "Own Model.onnx")


@pytest.fixture
def people(tmp_path):
    """A folder of two people."""
    for name, data in PORTRAITS.items():
        place = tmp_path / "people" / name
        place.mkdir(parents=True)
        (place / "1.jpg").write_bytes(data)
    return tmp_path / "people"


@pytest.mark.parametrize(
    ("options", "side", "input_options"),
    [
        (("--like", "sface"), 112, {}),
        (("--like", "arcface"), 112, {"mean": 127.5, "scale": 127.5}),
        (("--like", "w600k-r50"), 112, {"mean": 127.5, "scale": 127.5}),
        (("--like", "sface", "--channels", "BGR"), 112, {"channels": "BGR"}),
        (("--like", "arcface", "--mean", "100"), 112, {"mean": 100.0, "scale": 127.5}),
        (("--like", "arcface", "--mean", "0"), 112, {"mean": 0.0, "scale": 127.5}),
        (("--like", "arcface", "--scale", "2"), 112, {"mean": 127.5, "scale": 2.0}),
        (("--like", "arcface", "--size", "160"), 160, {"mean": 127.5, "scale": 127.5}),
        (("--like", "sface", "--size", "96"), 96, {"dimension": 20}),
    ],
)
def test_vectors_are_those_of_the_file_with_the_described_input(
    tmp_path, folder, command, options, side, input_options
):
    path = saved(grid_means(side, dimension=input_options.get("dimension")), tmp_path / "own.onnx")
    result = command("models", "add", path, *options)
    assert result.exit_code == 0, result.output
    own = custom.find("own", "embedding", folder)
    assert own.dimension == input_options.get("dimension", 3 * GRID * GRID)
    assert own.input_size == side
    faces = open_faces(settings(folder, "own"), own)
    for data in PORTRAITS.values():
        face = faces.embed_most_prominent(data)
        crop = align(decode(data), face.detection.landmarks, side)
        np.testing.assert_allclose(face.vector, expected(crop, **input_options), atol=1e-5)


def settings(folder, embedder):
    return Settings(models_dir=folder, embedder=embedder, accept_noncommercial=True)


def test_a_model_is_kept_with_its_digest_and_prepared(folder, command, file):
    result = command("models", "add", file, "--like", "arcface", "--licence", "MIT", "--commercial")
    assert result.exit_code == 0, result.output
    digest = files.sha256(file)
    own = custom.find("own-model", "embedding", folder)
    assert (own.sha256, own.size, own.file) == (digest, file.stat().st_size, "Own Model.onnx")
    assert (own.licence, own.commercial, own.calibration) == ("MIT", True, None)
    assert files.is_ready(own, folder)
    assert (folder / f"{digest[:16]}-Own Model.onnx").read_bytes() == file.read_bytes()
    for part in (
        "one image (N, 3, 112, 112) in, one vector (N, 48) out",
        "finite",
        "one by one",
        "the prepared graph gives what the file gives",
        "not checked: whether it knows people again",
        "facesearch calibrate DIR --model own-model --write",
    ):
        assert part in result.stdout


def test_commercial_use_of_a_model_without_a_licence_is_refused(folder, command, fails, file):
    result = command("models", "add", file, "--like", "arcface")
    assert "counts as not for commercial use" in result.stdout
    assert custom.find("own-model", "embedding", folder).licence == "LicenseRef-unknown"
    fails("may not be used commercially", "models", "pull", "own-model", FACESEARCH_ACCEPT_NONCOMMERCIAL="false")


def test_a_model_is_listed_pulled_and_diagnosed_by_its_name(folder, command, file):
    command("models", "add", file, "--like", "arcface", "--licence", "MIT", "--commercial")
    list_photos = command("models", "list", FACESEARCH_EMBEDDER="own-model").stdout
    assert re.search(r"^own-model \* +embedding +ready +none +yes +MIT$", list_photos, re.MULTILINE)
    prepared = files.prepared_path(custom.find("own-model", "embedding", folder), folder)
    prepared.unlink()
    assert command("models", "pull", "own-model").exit_code == 0
    assert prepared.is_file()
    # It cannot be used without a calibration.
    output = command("doctor", FACESEARCH_EMBEDDER="own-model").stdout
    assert re.search(
        r"^FAIL +models +no calibration has been measured for own-model.*facesearch calibrate", output, re.MULTILINE
    )
    kept = custom.find("own-model", "embedding", folder)
    custom.write_calibration(kept, custom.find("sface-2021dec", "embedding", folder).calibration, folder)
    output = command("doctor", FACESEARCH_EMBEDDER="own-model").stdout
    assert re.search(r"^ok +embedding +own-model$", output, re.MULTILINE)


def test_a_copied_folder_is_usable_on_another_machine(tmp_path, folder, command, file):
    command("models", "add", file, "--like", "arcface")
    file.unlink()
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    for prepared in other.glob(f"*prepared-v{PREPARATION_VERSION}*"):
        prepared.unlink()
    assert command("models", "pull", "own-model", FACESEARCH_MODELS_DIR=str(other)).exit_code == 0
    assert custom.find("own-model", "embedding", other) == custom.find("own-model", "embedding", folder)


def test_a_file_with_a_changed_digest_is_refused(folder, command, fails, file):
    command("models", "add", file, "--like", "arcface")
    own = custom.find("own-model", "embedding", folder)
    files.prepared_path(own, folder).unlink()
    (folder / f"{own.sha256[:16]}-{own.file}").write_bytes(b"another")
    fails("cannot get the model own-model .*has sha256", "models", "pull", "own-model")


def test_a_damaged_description_is_reported_by_every_command_that_needs_it(folder, command, fails, file):
    command("models", "add", file, "--like", "arcface")
    path = folder / "own-model.json"
    path.write_text(path.read_text().replace('"RGB"', '"BGR"'))
    fails("was edited or damaged", "models", "pull", "own-model")
    fails("was edited or damaged", "calibrate", folder, "--model", "own-model")
    assert "was edited or damaged" in command("models", "list").stdout
    assert "was edited or damaged" in command("doctor", FACESEARCH_EMBEDDER="own-model").stdout


@pytest.mark.parametrize("name", ["sface-2021dec", "yunet-2023mar", "w600k-r50", "arcface", "sface"])
def test_names_of_the_catalogue_are_refused(fails, file, name):
    fails(f"{name} is a name of the built-in catalogue", "models", "add", file, "--like", "arcface", "--name", name)


@pytest.mark.parametrize("name", ["Own", "own_model", "own:model", "../own", "-", "a" * 65])
def test_an_invalid_name_is_refused(fails, file, name):
    fails("name", "models", "add", file, "--like", "arcface", "--name", name)


def test_an_unknown_kind_is_refused_with_the_known_ones(fails, file):
    fails("--like: .*'magface'.*w600k-r50.*arcface, sface", "models", "add", file, "--like", "magface")


def test_adding_the_same_name_again_keeps_the_calibration_unless_the_input_differs(folder, command, fails, file):
    command("models", "add", file, "--like", "arcface")
    before = custom.find("own-model", "embedding", folder)
    calibration = custom.find("sface-2021dec", "embedding", folder).calibration
    custom.write_calibration(before, calibration, folder)
    fails("describes another model or another way in", "models", "add", file, "--like", "sface")
    assert command("models", "add", file, "--like", "arcface", "--licence", "MIT").exit_code == 0
    after = custom.find("own-model", "embedding", folder)
    assert (after.licence, after.calibration) == ("MIT", calibration)
    assert spaces_of(after).preferred == spaces_of(before).preferred


class TestFilesOfTheCatalogue:
    """Where a model cannot be fetched, its file makes the same of it: faces of both ways may meet in a facedb."""

    @pytest.mark.parametrize("options", [(), ("--like", "sface"), ("--name", "sface-2021dec-int8bq")])
    def test_an_added_file_is_what_is_fetched(self, tmp_path, folder, command, weights, options):
        path = shutil.copy(weights.embedder_original, tmp_path / "renamed.onnx")
        result = command("models", "add", path, *options)
        assert result.exit_code == 0, result.output
        assert "ok    its sha256 is that of sface-2021dec-int8bq in the catalogue" in result.stdout
        assert "ok    4 at once give what they give one by one" in result.stdout
        assert "sface-2021dec-int8bq of the catalogue is ready, as if it had been fetched" in result.stdout
        added = custom.find("sface-2021dec-int8bq", "embedding", folder)
        assert spaces_of(added).preferred == spaces_of(weights.entry).preferred
        assert files.prepared_path(added, folder).read_bytes() == weights.embedder.read_bytes()
        assert files.original(added, folder, pytest.fail).read_bytes() == weights.embedder_original.read_bytes()
        assert custom.names(folder) == []

    def test_every_form_of_the_file_is_prepared_unless_one_is_named(self, folder, command, weights):
        eight_bits = custom.find("sface-2021dec-int8", "embedding", folder)
        assert command("models", "add", weights.embedder_original, "--name", weights.entry.name).exit_code == 0
        assert not files.is_ready(eight_bits, folder)
        assert command("models", "add", weights.embedder_original).exit_code == 0
        assert files.is_ready(eight_bits, folder)

    def test_options_of_another_input_are_refused(self, fails, weights):
        for options in (("--like", "arcface"), ("--mean", "1"), ("--channels", "BGR")):
            fails(
                "sface-2021dec-int8bq in the catalogue.*leave them",
                "models",
                "add",
                weights.embedder_original,
                *options,
            )

    def test_another_file_gets_no_name_of_the_catalogue(self, fails, file):
        fails(
            rf"auraface-v1 is a name of the built-in catalogue, and .* \(sha256 {files.sha256(file)}\) is not its file",
            *("models", "add", file, "--name", "auraface-v1", "--like", "arcface"),
        )

    def test_another_file_of_the_same_name_is_not_pulled(self, folder, fails, file, monkeypatch):
        """InsightFace has another glintr100.onnx, for non-commercial research only."""
        for variable in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(variable, "http://127.0.0.1:9")
        shutil.copy(file, folder / "glintr100.onnx")
        fails(
            rf"auraface-v1 \(glintr100.onnx in the folder has sha256 {files.sha256(file)}; https://huggingface.co/fal/.*"
            "put glintr100.onnx with sha256 a7933ea5",
            *("models", "pull", "auraface-v1"),
        )

    def test_auraface_is_listed_and_has_to_be_calibrated(self, command):
        listed = command("models", "list").stdout
        assert re.search(r"^auraface-v1 +embedding +not fetched +none +yes +Apache-2.0$", listed, re.MULTILINE)
        output = command("doctor", FACESEARCH_EMBEDDER="auraface-v1").stdout
        assert re.search(r"^FAIL +models +no calibration .* for auraface-v1 .*calibrate DIR", output, re.MULTILINE)

    def test_an_unknown_file_needs_its_input(self, fails, file):
        fails("is no file of the catalogue .*say with --like", "models", "add", file)

    def test_a_model_for_research_needs_consent(self, fails, file, monkeypatch):
        for_research = replace(catalog.find("w600k-r50", "embedding"), sha256=files.sha256(file))
        monkeypatch.setattr(catalog, "embedders_of", lambda _: (for_research,))
        fails(
            "w600k-r50 may not be used commercially",
            *("models", "add", file),
            FACESEARCH_ACCEPT_NONCOMMERCIAL="false",
        )


def node(operator, source, target, **attributes):
    return helper.make_node(operator, source, [target], **attributes)


SHAPE = {"shape": np.array([0, -1], np.int64)}
FLAT = [node("Reshape", ["image", "shape"], "vector")]
IMAGE, VECTOR = ["n", 3, 8, 8], ["n", 192]


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (model(FLAT, SHAPE, ["n", 8, 8, 3], VECTOR), "takes .* channels first"),
        (model(FLAT, SHAPE, ["n", 1, 8, 8], ["n", 64]), r"where an image \(N, 3, side, side\) is needed"),
        (model(FLAT, SHAPE, ["n", 3, 8, 12], ["n", 288]), "12 x 8 pixels where square"),
        (model(FLAT, SHAPE, ["n", 3, 12, 12], ["n", 432]), "say --size 12"),
        (model(FLAT, SHAPE, IMAGE, VECTOR, kind=TensorProto.FLOAT16), "of type FLOAT16 where FLOAT"),
        (model([node("Relu", ["image"], "vector")], {}, IMAGE, IMAGE), r"where vectors \(N, dimension\)"),
        (model([*FLAT, node("Relu", ["vector"], "b")], SHAPE, IMAGE, VECTOR, more=["b"]), "has 2 outputs"),
        (
            model(
                [*FLAT[:0], node("Mul", ["image", "nought"], "z"), node("Reshape", ["z", "shape"], "vector")],
                SHAPE | {"nought": np.zeros((), np.float32)},
                IMAGE,
                VECTOR,
            ),
            "zero or not finite",
        ),
        (
            model(
                [node("Div", ["image", "nought"], "z"), node("Reshape", ["z", "shape"], "vector")],
                SHAPE | {"nought": np.zeros((), np.float32)},
                IMAGE,
                VECTOR,
            ),
            "zero or not finite",
        ),
        (
            model(
                [
                    node("Mul", ["image", "nought"], "z"),
                    node("Add", ["z", "one"], "o"),
                    node("Reshape", ["o", "shape"], "vector"),
                ],
                SHAPE | {"nought": np.zeros((), np.float32), "one": np.ones((), np.float32)},
                IMAGE,
                VECTOR,
            ),
            "the same vector for whatever",
        ),
        (
            model(
                [
                    node("ReduceMean", ["image"], "m", axes=[0], keepdims=1),
                    node("Sub", ["image", "m"], "d"),
                    node("Add", ["d", "image"], "s"),
                    node("Reshape", ["s", "shape"], "vector"),
                ],
                SHAPE,
                IMAGE,
                VECTOR,
                opset=13,
            ),
            "another vector when others are embedded with it",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unusable_model_is_refused_with_the_reason(tmp_path, fails, made, complaint):
    path = saved(made, tmp_path / "bad.onnx")
    fails(complaint, "models", "add", path, "--like", "sface", "--size", "8")


def test_weights_in_other_files_are_refused(tmp_path, fails):
    path = tmp_path / "own.onnx"
    onnx.save_model(grid_means(112), path, save_as_external_data=True, location="weights", size_threshold=0)
    fails("weights in other files", "models", "add", path, "--like", "arcface")


@pytest.mark.parametrize("content", [b"not a model", b"", b"\x08\x0a"])
def test_a_file_that_is_no_model_is_refused(tmp_path, fails, content):
    path = tmp_path / "own.onnx"
    path.write_bytes(content)
    fails("is no ONNX model|has 0 inputs", "models", "add", path, "--like", "arcface")
    fails("there is no file", "models", "add", tmp_path / "none.onnx", "--like", "arcface")
    fails("does not end in .onnx", "models", "add", shutil.copy(path, tmp_path / "own.pt"), "--like", "arcface")


@pytest.mark.parametrize("batch", [1, "n", "batch"])
@pytest.mark.parametrize("sides", [None, ["h", "w"], [112, "w"]])
def test_a_fixed_batch_and_dynamic_sides_are_accepted(tmp_path, folder, command, batch, sides):
    path = saved(grid_means(112, batch=batch, sides=sides), tmp_path / "own.onnx")
    result = command("models", "add", path, "--like", "arcface")
    assert result.exit_code == 0, result.output
    assert files.is_ready(custom.find("own", "embedding", folder), folder)


class TestCheck:
    def test_the_default_weights_under_another_name_pass(self, folder, command, weights, people):
        result = command(
            "models", "add", weights.embedder_original, "--like", "sface", "--name", "mine", "--check", people
        )
        assert result.exit_code == 0, result.output
        assert "6 of 6 changed photos of 2 people are closest to their own" in result.stdout
        mine = custom.find("mine", "embedding", folder)
        built_in = open_faces(Settings(), weights.entry).embed_most_prominent(hopper_jpeg()).vector
        again = open_faces(settings(folder, "mine"), mine).embed_most_prominent(hopper_jpeg()).vector
        np.testing.assert_allclose(again, built_in, atol=1e-6)

    def test_a_model_that_does_not_distinguish_people_is_refused_and_not_kept(self, tmp_path, folder, fails, people):
        """It measures the brightness of a photo only: a photo of half the brightness is another person to it."""
        brightness = [
            node("ReduceMean", ["image"], "m", axes=[2, 3], keepdims=0),
            node("Sub", ["m", "level"], "vector"),
        ]
        (people / "astronaut/1.jpg").write_bytes(jpeg(pixels(darken(astronaut_png(), 0.6))))
        made = model(brightness, {"level": np.full(3, 60, np.float32)}, ["n", 3, 112, 112], ["n", 3], opset=13)
        path = saved(made, tmp_path / "own.onnx")
        fails("does not tell people apart", "models", "add", path, "--like", "sface", "--check", people)
        assert sorted(p.suffix for p in folder.glob("*own*")) == []

    def test_a_check_without_two_people_is_refused(self, tmp_path, fails, file, people):
        shutil.rmtree(people / "hopper")
        fails("photos of two people", "models", "add", file, "--like", "arcface", "--check", people)
        fails("is not a folder", "models", "add", file, "--like", "arcface", "--check", tmp_path / "none")


class People:
    """Embeds files that hold "BM", the number of a person and that of a photo. spread: how far photos of one person are
    apart; from 1 on they are as far apart as those of two people.
    """

    def __init__(self, spread):
        self._spread = spread

    def embed_most_prominent(self, data, _preprocessing):
        if data.endswith(b"nobody"):
            raise FaceNotDetected
        person, photo = map(int, data[2:].split())
        face = np.random.default_rng(person).normal(size=64)
        vector = face + self._spread * np.random.default_rng([person, photo]).normal(size=64)
        return SimpleNamespace(vector=(vector / np.linalg.norm(vector)).astype(np.float32))


class TestCalibrate:
    @pytest.fixture
    def crowd(self, tmp_path):
        """Photos of 150 people, two of each, and one without a face."""
        place = tmp_path / "crowd"
        for person in range(150):
            (place / f"p{person}").mkdir(parents=True)
            for photo in range(2):
                (place / f"p{person}" / f"{photo}.bmp").write_bytes(b"BM%d %d" % (person, photo))
        (place / "p0" / "x.bmp").write_bytes(b"BMnobody")
        return place

    @pytest.fixture
    def calibrate(self, command, monkeypatch):
        def run(*arguments, spread=0.3):
            monkeypatch.setattr(calibrate, "open_faces", lambda *_: People(spread))
            return command("calibrate", *arguments, FACESEARCH_QUALITY_SEARCH="off")

        return run

    @pytest.fixture
    def own(self, command, file):
        command("models", "add", file, "--like", "arcface")
        return "own-model"

    def test_the_table_is_printed_and_kept_on_request(self, folder, calibrate, crowd, own):
        result = calibrate(crowd, "--model", own)
        assert result.exit_code == 0, result.output
        assert "300 faces on 301 photos of 150 people; 150 genuine pairs, 44,700 impostor pairs" in result.stdout
        assert re.search(r"^65 +1 in 77 +0\.\d+ +0\.\d+ +count +1 in \d+ +0\.00%$", result.stdout, re.MULTILINE)
        assert re.search(r"^95 +1 in 100,000 +0\.\d+ +0\.\d+ +tail +", result.stdout, re.MULTILINE)
        assert "Not kept" in result.stdout
        before = custom.find(own, "embedding", folder)
        assert before.calibration is None
        result = calibrate(crowd, "--model", own, "--write")
        after = custom.find(own, "embedding", folder)
        assert f"Kept in {folder / own}.json" in result.stdout
        (cosine,) = re.findall(r"^80 +1 in 1,000 +(\S+)", result.stdout, re.MULTILINE)
        assert after.calibration.confidence(float(cosine)) == pytest.approx(80)
        # Impostor pairs in 64 dimensions: normal about 0 with deviation 1 / 8; 1 in 1,000 is beyond 3.09 deviations.
        assert float(cosine) == pytest.approx(3.09 / 8, abs=0.05)
        assert spaces_of(after).preferred == spaces_of(before).preferred

    def test_a_kept_calibration_of_a_catalogue_model_replaces_the_built_in_one(
        self, folder, command, calibrate, crowd, weights
    ):
        name = weights.entry.name
        copy_prepared(weights.embedder, folder)
        result = calibrate(crowd, "--write")
        assert result.exit_code == 0, result.output
        own = folder / f"{name}.calibration.json"
        assert f"Kept in {own}" in result.stdout
        assert custom.find(name, "embedding", folder).calibration != weights.entry.calibration
        assert re.search(rf"^{name} \* +embedding +ready +own ", command("models", "list").stdout, re.MULTILINE)
        own.unlink()
        assert custom.find(name, "embedding", folder) == weights.entry

    def test_a_model_that_does_not_recognise_people_is_refused(self, folder, calibrate, crowd, own):
        result = calibrate(crowd, "--model", own, "--write", spread=3)
        assert result.exit_code == 1
        assert "does not recognise people" in result.stderr
        assert custom.find(own, "embedding", folder).calibration is None

    def test_two_people_are_too_few(self, fails, own, people):
        fails("faces of 2 people, .*250 people", "calibrate", people, "--model", own)

    def test_an_unknown_model_is_refused(self, fails, people):
        fails("no embedding model is called 'none'", "calibrate", people, "--model", "none")
