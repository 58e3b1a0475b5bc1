import re
from dataclasses import replace

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.catalog import MODELS, Embedder, UrlSource, calibration_of, embedders_of, find, permitted
from worker.models.identity import Identity, identity
from worker.models.versions import INT8_VERSION, PREPROCESSING_VERSION, PREPROCESSINGS, RESULT_VERSION, Preprocessing

USUAL = PREPROCESSINGS[PREPROCESSING_VERSION]


def test_the_default_models_are_free_and_calibrated():
    settings = Settings()
    permitted(find(settings.detector, "detection"), accept_noncommercial=False)
    embedder = permitted(find(settings.embedder, "embedding"), accept_noncommercial=False)
    assert isinstance(embedder, Embedder)
    assert calibration_of(embedder).confidence(0.37) == 80


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_entry_is_well_formed(model):
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
    assert re.fullmatch(r"[a-z0-9-]+", model.name)
    assert model.file.endswith(".onnx")
    assert (model.task == "embedding") == isinstance(model, Embedder)
    assert all(str(source).endswith((model.file, "==1.1.1")) for source in model.sources)


def test_names_and_prepared_files_are_unique():
    made = {(model.sha256, isinstance(model, Embedder) and model.ranges) for model in MODELS}
    assert len({model.name for model in MODELS}) == len(made) == len(MODELS)


@pytest.mark.parametrize(("name", "task"), [("nothing", "detection"), ("yunet-2023mar", "embedding")])
def test_an_unknown_name_is_refused_with_the_known_ones(name, task):
    known = next(model.name for model in MODELS if model.task == task)
    with pytest.raises(OperatorError, match=rf"no {task} model is called '{name}'.*{known}"):
        find(name, task)


def test_noncommercial_models_need_consent():
    model = find("w600k-mbf", "embedding")
    assert permitted(model, accept_noncommercial=True) is model
    with pytest.raises(OperatorError, match="FACESEARCH_ACCEPT_NONCOMMERCIAL"):
        permitted(model, accept_noncommercial=False)


def test_an_uncalibrated_embedder_is_refused_with_how_to_calibrate_it():
    with pytest.raises(OperatorError, match=r"arcface-lresnet100 yet.*`facesearch calibrate DIR --model arcface-lresn"):
        calibration_of(find("arcface-lresnet100", "embedding"))


def test_only_http_urls_are_sources():
    with pytest.raises(ValueError, match="not an http"):
        UrlSource("file:///etc/passwd")


def test_the_8_bit_embedder_is_made_of_the_same_file_and_has_another_identity():
    default, eight_bits = (find(name, "embedding") for name in (Settings().embedder, "sface-2021dec-int8"))
    assert (default.ranges, bool(eight_bits.ranges)) == (None, True)
    assert replace(eight_bits, name=default.name, ranges=None) == default
    assert identity(eight_bits, USUAL) != identity(default, USUAL)


def test_the_version_of_an_identity_covers_results_and_not_the_prepared_file():
    default, eight_bits = (find(name, "embedding") for name in (Settings().embedder, "sface-2021dec-int8"))
    assert identity(default, USUAL).version == 1000 * RESULT_VERSION + PREPROCESSING_VERSION
    assert identity(eight_bits, USUAL).version == 1000 * INT8_VERSION + PREPROCESSING_VERSION
    assert identity(default, Preprocessing(7)).version == 1000 * RESULT_VERSION + 7


def test_the_embedders_of_a_file_are_found_by_its_digest():
    assert [model.name for model in embedders_of(find("auraface-v1", "embedding").sha256)] == ["auraface-v1"]
    assert [model.name for model in embedders_of(find("sface-2021dec-int8", "embedding").sha256)] == [
        *("sface-2021dec-int8bq", "sface-2021dec-int8")
    ]
    assert embedders_of(find("yunet-2023mar", "detection").sha256) == embedders_of("0" * 64) == ()


def test_an_identity_names_the_source_file_and_is_read_back():
    model = find("sface-2021dec-int8bq", "embedding")
    made = identity(model, USUAL)
    assert (made.model, made.digest, made.dimension) == (model.name, model.sha256, 128)
    assert Identity.parse(str(made)) == made
