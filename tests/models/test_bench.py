"""The pipelines that benchmarks compare have the same results, so that their times are comparable."""

from pathlib import Path

import photos
import pybase64
import pytest
from floor import floor, run
from recognition import Pipeline, open_naive_pipeline, open_pipeline

from portraits import astronaut_png, faceless_png, hopper_jpeg
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.vision.geometry import overlap

pytestmark = pytest.mark.slow

PORTRAITS = (astronaut_png(), hopper_jpeg())


@pytest.fixture(scope="module")
def pipeline(weights: object) -> Pipeline:  # noqa: ARG001 -- pulls the models
    return open_pipeline(Settings())


def test_the_naive_pipeline_and_the_product_agree_on_faces(pipeline: Pipeline) -> None:
    plain = open_naive_pipeline(Settings())
    for portrait in PORTRAITS:
        theirs, own = plain(portrait), pipeline.recognize(portrait)
        assert overlap(theirs.box, own.box) > 0.7
        assert theirs.vector @ own.vector > 0.9
    with pytest.raises(LookupError):
        plain(faceless_png())
    with pytest.raises(FaceNotDetected):
        pipeline.recognize(faceless_png())


def test_both_pipelines_find_faces_in_the_packaged_photos(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(photos, "LFW", tmp_path)
    plain = open_naive_pipeline(Settings())
    for images in photos.photos().values():
        for image in images:
            assert overlap(plain(image).box, pipeline.recognize(image).box) > 0.7


def test_the_floor_finds_enrolled_portraits(pipeline: Pipeline) -> None:
    with floor(pipeline, PORTRAITS) as whole:
        for portrait in PORTRAITS:
            (match,) = whole.searchface(pybase64.b64encode(portrait))
            assert match.cosine > 0.9
        report = run(whole.searchface, PORTRAITS, 2, 0.01)
    assert all(value > 0 for value in report.values())
