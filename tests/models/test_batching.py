"""Batches of the real models: an image in a batch has the results that it has alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from portraits import astronaut_png, crop, darken, faceless_png, hopper_jpeg, pixels, rotate, scale, side_by_side
from shared.errors import FaceNotDetected, OperatorError, Unavailable
from shared.settings import Settings
from worker import runtime
from worker.vision.arcface import ArcFace
from worker.vision.batch_observer import BatchObserver
from worker.vision.batched_session import BatchedSession
from worker.vision.geometry import REFINEMENT_SIDE
from worker.vision.passes import COARSE_SIDE, ROTATIONS, SIDE
from worker.vision.service import FaceService
from worker.vision.session import open_session
from worker.vision.yunet import YuNet, resize, usual_sizes

pytestmark = pytest.mark.slow

LONG_S = 3600
USUAL = [
    crop(astronaut_png(), 100 if width < 400 else 0, 0, width, height)
    for width, height in [(512, 512), (512, 384), (384, 512), (512, 341), (341, 512), (512, 288), (288, 512)]
]
PHOTOS = [
    astronaut_png(),
    hopper_jpeg(),
    darken(astronaut_png()),
    rotate(hopper_jpeg(), 7),
    scale(astronaut_png(), 0.5),
    side_by_side(hopper_jpeg(), astronaut_png()),
    side_by_side(astronaut_png(), hopper_jpeg()),
    faceless_png(),
]


def images():
    """Return inputs of the detector: uint8 (4, 640, 640, 3)."""
    batch = np.zeros((4, 640, 640, 3), np.uint8)
    for padded, photo in zip(batch, PHOTOS, strict=False):
        image, _ = resize(pixels(photo), 640)
        padded[: image.shape[0], : image.shape[1]] = image
    return batch


def crops():
    """Return inputs of the embedder: uint8 (5, 112, 112, 3)."""
    image = pixels(astronaut_png())
    return np.stack([image[top : top + 112, 160 : 160 + 112] for top in range(30, 80, 10)])


@pytest.mark.parametrize(("model", "batch"), [("detector", images()), ("embedder", crops())])
def test_a_row_of_a_batch_has_the_outputs_that_it_has_alone(weights, model, batch):
    session = open_session(getattr(weights, model))
    together = session.run(batch)
    for number in range(len(batch)):
        for name, alone in session.run(batch[number : number + 1]).items():
            np.testing.assert_allclose(together[name][number : number + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.fixture
def batched(weights):
    """The two models in batched sessions without announced callers, and the number of rows of each call."""
    calls = {"detector": [], "embedder": []}
    sides = {"detector": (SIDE, COARSE_SIDE, REFINEMENT_SIDE), "embedder": (112,)}
    sessions = {
        name: BatchedSession(
            lambda name=name: open_session(getattr(weights, name)),
            [(side, side, 3) for side in sides[name]],
            8,
            LONG_S,
            rows.append,
        )
        for name, rows in calls.items()
    }
    return sessions, calls


class Together:
    """An observer that makes all threads start their first pass at the same time."""

    def __init__(self, threads):
        self.barrier = threading.Barrier(threads, timeout=30)
        self.begun = threading.local()

    @contextmanager
    def stage(self, name):
        if name == "detect" and not hasattr(self.begun, "pass_"):
            self.begun.pass_ = 1
            self.barrier.wait()
        yield

    def found(self, faces):
        pass


def outcome(service, photo):
    """Return boxes, landmarks and vectors of all faces, None without a face."""
    try:
        found = service.embed_all(photo)
    except FaceNotDetected:
        return None
    return (
        np.array([face.detection.box for face in found]),
        np.stack([face.detection.landmarks for face in found]),
        np.stack([face.vector for face in found]),
    )


def test_jobs_that_share_calls_have_the_results_that_they_have_alone(weights, batched, faces):
    sessions, calls = batched
    photos = PHOTOS * 2
    models = {"detect": sessions["detector"], "refine": sessions["detector"], "align": sessions["embedder"]}
    observer = BatchObserver(Together(len(photos)), models)
    service = FaceService(
        YuNet(sessions["detector"]),
        ArcFace(sessions["embedder"], weights.entry),
        observer,
    )
    with ThreadPoolExecutor(len(photos)) as pool:
        outcomes = list(pool.map(lambda photo: outcome(service, photo), photos))
    for photo, found in zip(photos, outcomes, strict=True):
        alone = outcome(faces, photo)
        if alone is None:
            assert found is None
            continue
        for ours, theirs, tolerance in zip(found, alone, (1e-2, 1e-2, 1e-4), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=tolerance)
    seen = sum(len(found[0]) for found in outcomes if found is not None)
    rotations = sum(1 if found is not None else 1 + len(ROTATIONS) for found in outcomes)
    assert sum(calls["detector"]) == 2 * rotations + seen, "each rotation at both sides, and each face once more"
    assert sum(calls["embedder"]) == seen
    assert max(calls["detector"]) > 1
    assert max(calls["embedder"]) > 1


def settings(**given):
    return Settings(device="cuda", store="memory", redis_url="unix:///nowhere.sock", **given)


def test_a_worker_on_a_gpu_runs_batches_counts_them_and_closes_its_sessions(weights, monkeypatch):
    """A CPU takes the place of the GPU."""
    opened = []

    def open_on_cpu(path, device):
        opened.append((path, device))
        return open_session(path)

    monkeypatch.setattr(runtime, "open_session", open_on_cpu)
    with runtime.open_runtime(settings(batch_size=4)) as worker:
        # Sessions for 1, 2 and 4 rows of each listed shape, and one for all other shapes.
        shapes = len(usual_sizes(SIDE)) + len(usual_sizes(COARSE_SIDE)) + 1
        assert opened.count((weights.detector, "cuda")) == 3 * shapes + 1
        assert opened.count((weights.embedder, "cuda")) == 3 + 1
        assert len(worker.faces.embed_all(PHOTOS[5])) == 2
        count = worker.metrics.registry.get_sample_value
        assert count("facesearch_batch_faces_count") == 1
        assert count("facesearch_batch_faces_sum") == 2
    with pytest.raises(Unavailable):
        worker.faces.embed_all(PHOTOS[5])


def test_a_gpu_that_fails_at_its_first_call_is_an_error_at_start(weights, monkeypatch):  # noqa: ARG001 -- pulls the models
    class Failing:
        def run(self, tensor):
            if len(tensor) > 2:
                raise RuntimeError("CUDA failure 2: out of memory\nmore")
            return {"out": tensor}

    monkeypatch.setattr(runtime, "open_session", lambda _path, _device: Failing())
    with (
        pytest.raises(OperatorError, match="does not run on cuda: CUDA failure 2: out of memory more; if its memory"),
        runtime.open_runtime(settings()),
    ):
        pass


def test_a_missing_gpu_is_an_error_at_start(weights):  # noqa: ARG001 -- pulls the models
    with pytest.raises(OperatorError, match="knows no cuda"), runtime.open_runtime(settings()):
        pass


@pytest.mark.parametrize("processes", [0, 1])
def test_a_worker_on_a_cpu_runs_no_batches(processes):
    on_cpu = settings().model_copy(update={"device": "cpu", "vision_processes": processes})
    with runtime.open_runtime(on_cpu) as worker:
        assert len(worker.faces.embed_all(PHOTOS[5])) == 2
        assert worker.metrics.registry.get_sample_value("facesearch_batch_faces_count") == 1
        assert worker.metrics.registry.get_sample_value("facesearch_batch_faces_sum") == 2


def test_every_session_on_a_gpu_for_usual_photos_has_a_single_shape(weights, monkeypatch):  # noqa: ARG001 -- pulls the models
    """A CPU takes the place of the GPU."""
    seen = []

    class Watched:
        def __init__(self, path):
            self.session = open_session(path)
            self.shapes = set()
            seen.append(self.shapes)

        def run(self, tensor):
            self.shapes.add(tensor.shape)
            return self.session.run(tensor)

    monkeypatch.setattr(runtime, "open_session", lambda path, _device: Watched(path))
    with runtime.open_runtime(settings(batch_size=2)) as worker:
        for photo in USUAL:
            worker.faces.embed_all(photo)
            worker.faces.embed_most_prominent(photo)
    assert sorted(map(len, seen)) == [0, 0, *[1] * (len(seen) - 2)], "two sessions are for shapes that do not occur"


def test_an_8_bit_embedder_is_refused_on_a_gpu():
    with (
        pytest.raises(OperatorError, match="sface-2021dec-int8 is for CPUs"),
        runtime.open_runtime(settings(embedder="sface-2021dec-int8")),
    ):
        pass
