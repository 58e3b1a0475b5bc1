"""The inference process with the real models, on a CPU in place of a GPU: what it gives, and how it starts and ends."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import load_model

from portraits import astronaut_png, crop, darken, hopper_jpeg, pixels, rotate, scale, side_by_side
from shared.errors import OperatorError
from shared.settings import Settings
from worker import runtime
from worker.inference.client import InferenceGoneError, RemoteSession
from worker.inference.plan import LANES, Plan, open_models
from worker.inference.process import InferenceProcess
from worker.inference.wire import Model
from worker.vision.arcface import ArcFace
from worker.vision.passes import COARSE_SIDE, SIDE
from worker.vision.rotations import SCOUT_SIDE, SMALL_SCOUT_SIDE
from worker.vision.service import FaceService
from worker.vision.session import onnxruntime, open_session
from worker.vision.yunet import YuNet, candidates, resize, usual_sizes

pytestmark = pytest.mark.slow

PHOTOS = [
    astronaut_png(),
    hopper_jpeg(),
    darken(astronaut_png()),
    rotate(hopper_jpeg(), 7),
    scale(astronaut_png(), 0.5),
    side_by_side(hopper_jpeg(), astronaut_png()),
    *[crop(astronaut_png(), 100 if width < 400 else 0, 0, width, height) for width, height in [(512, 288), (341, 512)]],
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
    (together,) = session.run(batch).values()
    for number in range(len(batch)):
        (alone,) = session.run(batch[number : number + 1]).values()
        np.testing.assert_allclose(together[number : number + 1], alone, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def plan(weights):
    return Plan(str(weights.detector), str(weights.embedder), weights.entry.input_size, "cpu", 4, 0.002)


@pytest.fixture(scope="module")
def process(plan):
    process = InferenceProcess(plan)
    yield process
    process.close()


@pytest.fixture
def service(process, weights):
    """Makes face services whose models run in the inference process."""
    connections = []

    def make():
        connections.append(process.connect())
        detect, embed = (RemoteSession(connections[-1], model) for model in (Model.DETECTOR, Model.EMBEDDER))
        return FaceService(YuNet(detect), ArcFace(embed, weights.entry))

    yield make
    for connection in connections:
        connection.close()


def outcome(service, photo):
    """Return boxes, landmarks and vectors of all faces."""
    found = service.embed_all(photo)
    return (
        np.array([face.detection.box for face in found]),
        np.stack([face.detection.landmarks for face in found]),
        np.stack([face.vector for face in found]),
    )


def test_jobs_that_share_inferences_have_the_results_that_they_have_in_process(service, faces):
    services = [service() for _ in PHOTOS]
    with ThreadPoolExecutor(len(PHOTOS)) as pool:
        outcomes = list(pool.map(outcome, services, PHOTOS))
    for photo, found in zip(PHOTOS, outcomes, strict=True):
        for ours, theirs, tolerance in zip(found, outcome(faces, photo), (1e-2, 1e-2, 1e-4), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_vectors_of_photos_of_any_proportions_are_those_of_the_process_itself(service, faces):
    remote = service()
    for width, height in ((512, 512), (512, 300), (250, 512), (400, 500)):
        photo = crop(astronaut_png(), 100 if width < 400 else 0, 0, width, height)
        ours, theirs = (one.embed_most_prominent(photo).vector for one in (remote, faces))
        assert float(ours @ theirs) > 0.99999


def test_candidates_are_all_that_a_detector_looks_at(weights):
    (whole,) = open_session(weights.detector).run(images()).values()
    few = candidates(whole)
    assert few.shape[2] < whole.shape[2] / 20

    class Canned:
        def __init__(self, output):
            self.output = output

        def run(self, _images):
            return {"faces": self.output}

    for number in range(len(whole)):
        found, expected = (
            YuNet(Canned(output[number : number + 1]), 0.3).detect(np.zeros((640, 640, 3), np.uint8), 640)
            for output in (few, whole)
        )
        assert [(face.box, face.score) for face in found] == [(face.box, face.score) for face in expected]


@pytest.mark.parametrize("model", ["detector", "embedder"])
def test_with_fixed_sizes_no_node_computes_shapes(weights, model, tmp_path):
    """A CUDA graph must not have nodes on the CPU, and those that compute shapes would be there."""
    sizes = {"detector": (2, 256, 320, 3), "embedder": (2, 112, 112, 3)}[model]
    path = getattr(weights, model)
    options = onnxruntime.SessionOptions()
    for name, size in zip(open_session(path).shape, sizes, strict=True):
        if isinstance(name, str):
            options.add_free_dimension_override_by_name(name, size)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in load_model(tmp_path / "optimised.onnx").graph.node}
    assert not operators & {"Shape", "Slice", "Range", "Squeeze", "Unsqueeze"}


# Starting and ending


def settings(**given):
    return Settings(device="cuda", store="memory", redis_url="unix:///nowhere.sock", **given)


def test_a_worker_without_a_gpu_that_it_needs_is_an_error_at_start(weights):  # noqa: ARG001 -- pulls the models
    with pytest.raises(OperatorError, match="knows no cuda"), runtime.open_runtime(settings(vision_processes=1)):
        pass


def test_a_worker_on_a_gpu_needs_vision_processes(weights):  # noqa: ARG001 -- pulls the models
    with pytest.raises(OperatorError, match="needs vision"), runtime.open_runtime(settings(vision_processes=0)):
        pass


@pytest.mark.parametrize("processes", [0, 1])
def test_a_worker_on_a_cpu_runs_no_batches(processes):
    on_cpu = settings().model_copy(update={"device": "cpu", "vision_processes": processes})
    with runtime.open_runtime(on_cpu) as worker:
        assert len(worker.faces.embed_all(PHOTOS[5])) == 2
        assert worker.metrics.registry.get_sample_value("facesearch_batch_faces_count") == 1
        assert worker.metrics.registry.get_sample_value("facesearch_batch_faces_sum") == 2


def test_an_8_bit_embedder_is_refused_on_a_gpu():
    with (
        pytest.raises(OperatorError, match="sface-2021dec-int8 is for CPUs"),
        runtime.open_runtime(settings(embedder="sface-2021dec-int8")),
    ):
        pass


def test_a_missing_gpu_is_an_error_at_start(plan):
    with pytest.raises(OperatorError, match="knows no cuda"):
        InferenceProcess(Plan(plan.detector, plan.embedder, plan.crop_side, "cuda", 4, 0.002))


def test_a_gpu_that_fails_at_its_first_inference_is_an_error_at_start(plan):
    class Failing:
        def run(self, images):
            if len(images) > 2:
                raise RuntimeError("CUDA failure 2: out of memory\nmore")
            return {"out": images}

    with pytest.raises(OperatorError, match="do not run on cpu: CUDA failure 2: out of memory more; if its memory"):
        open_models(plan, lambda _plan, _model: lambda _size, _rows: Failing())


def test_the_usual_photos_have_sessions_that_never_see_another_shape(plan):
    opened = []

    class Watched:
        def __init__(self, size, rows):
            self.expected, self.seen = (size, rows), set()
            opened.append(self)

        def run(self, images):
            self.seen.add(images.shape)
            return {"out": np.zeros((len(images), 15, 1) if images.shape[1] != 112 else (len(images), 128), np.float32)}

    models = open_models(plan, lambda _plan, _model: Watched)
    for batches in models.values():
        batches.close()
    sizes = {one.expected[0] for one in opened}
    squares = {(224, 224), (SCOUT_SIDE, SCOUT_SIDE), (SMALL_SCOUT_SIDE, SMALL_SCOUT_SIDE), (112, 112)}
    assert sizes == {*usual_sizes(SIDE), *usual_sizes(COARSE_SIDE), *squares}
    assert all(one.seen == {(one.expected[1], *one.expected[0], 3)} for one in opened)
    assert set(models) == set(LANES) - {Model.SECOND_EMBEDDER}


def test_an_inference_process_that_is_killed_is_gone_to_its_callers(plan):
    process = InferenceProcess(plan)
    with process.connect() as connection:
        session = RemoteSession(connection, Model.EMBEDDER)
        assert session.run(crops())["output"].shape == (5, 128)
        process.kill()
        with pytest.raises(InferenceGoneError):
            session.run(crops())
    with pytest.raises(OSError, match=r"."):
        process.connect()


def test_a_closed_process_ends_with_its_connections(plan):
    process = InferenceProcess(plan)
    with process.connect() as connection:
        process.close()
        assert connection.recv(1) == b""
