"""The pipelines that benchmarks compare have the same results, so that their times are comparable."""

import json
import os
import subprocess
import sys
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

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "bench")))}
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


@pytest.mark.timeout(300)
def test_the_measurement_of_a_gpu_runs_on_a_cpu(weights: object) -> None:  # noqa: ARG001 -- pulls the models
    command = [sys.executable, "bench/gpu.py", "--device", "cpu", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=ENVIRONMENT)
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert {row["part"] for row in rows} == {"raw", "in_process", "worker", "service"}
    assert all(row["per_second"] > 0 for row in rows if "per_second" in row)
    assert min(row["least_cosine"] for row in rows if "least_cosine" in row) > 0.9999


@pytest.mark.timeout(300)
def test_a_worker_on_a_made_up_gpu_is_measured(weights: object) -> None:  # noqa: ARG001 -- pulls the models
    command = [sys.executable, "bench/shared_gpu.py", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=ENVIRONMENT)
    runs = json.loads(done.stdout.splitlines()[0])["runs"]
    assert [run["callers"] for run in runs] == [1, 8]
    assert all(run["per_second"] > 0 and run["faces_an_inference"] >= 1 for run in runs)
