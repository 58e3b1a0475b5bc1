import numpy as np
import pytest
from onnx import TensorProto, helper, load_model, numpy_helper, save_model

from shared.errors import OperatorError
from worker.vision.session import FixedSessions, onnxruntime, open_session


@pytest.fixture
def doubling(tmp_path):
    """A model that computes y = x + x and z = -x, for any batch of 3 numbers."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        "tiny",
        [info("x", TensorProto.FLOAT, ["n", 3])],
        [info("y", TensorProto.FLOAT, ["n", 3]), info("z", TensorProto.FLOAT, ["n", 3])],
    )
    path = tmp_path / "tiny.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_returned_by_name(doubling, threads):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    outputs = open_session(doubling, threads=threads).run(x)
    assert set(outputs) == {"y", "z"}
    np.testing.assert_array_equal(outputs["y"], 2 * x)
    np.testing.assert_array_equal(outputs["z"], -x)


@pytest.fixture
def flattening(tmp_path):
    """A model that takes bytes of any batch and height, and gives them in one row an image."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["rows"]),
            helper.make_node("Concat", ["rows", "rest"], ["sizes"], axis=0),
            helper.make_node("Reshape", ["floats", "sizes"], ["y"]),
        ],
        "tiny",
        [info("x", TensorProto.UINT8, ["batch", "height", 2, 3])],
        [info("y", TensorProto.FLOAT, ["batch", "numbers"])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in (("zero", 0), ("rest", -1))],
    )
    path = tmp_path / "tiny.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def test_a_fixed_session_gives_what_another_one_gives_in_memory_of_the_callers_own(flattening):
    sessions = FixedSessions(flattening, "cpu")
    session = sessions.open((2, 5, 2, 3))
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (2, 5, 2, 3), np.uint8) for _ in range(2))
    (kept,) = session.run(first).values()
    (later,) = session.run(second).values()
    np.testing.assert_array_equal(kept, first.reshape(2, -1))
    np.testing.assert_array_equal(later, second.reshape(2, -1))


def test_a_fixed_session_has_one_shape(flattening):
    with pytest.raises(ValueError, match=r"shape \(1, 5, 2, 3\) where \[2, 5, 2, 3\]"):
        FixedSessions(flattening, "cpu").open((2, 5, 2, 3)).run(np.zeros((1, 5, 2, 3), np.uint8))


def test_a_fixed_session_on_a_gpu_is_a_cuda_graph_without_nodes_that_compute_shapes(flattening, monkeypatch, tmp_path):
    """A CPU takes the place of the GPU, and keeps the graph that it runs."""
    real, optimised = onnxruntime.InferenceSession, tmp_path / "optimised.onnx"

    def open_on_cpu(path, options, providers):
        if providers[0][0] == "CUDAExecutionProvider":
            assert providers[0][1]["enable_cuda_graph"] == "1"
            options.optimized_model_filepath = str(optimised)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_on_cpu)
    with pytest.raises(OperatorError, match="cannot run on cuda"):
        FixedSessions(flattening, "cuda").open((2, 5, 2, 3))
    assert {node.op_type for node in load_model(optimised).graph.node} <= {"Cast", "Reshape"}


@pytest.mark.parametrize("content", [b"no model", b""])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=r"cannot load the model .*bad\.onnx") as caught:
        open_session(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_device_is_an_error_without_a_fallback(doubling):
    with pytest.raises(OperatorError, match="knows no cuda; install facesearch"):
        open_session(doubling, "cuda")


def test_a_device_that_does_not_start_is_an_error_without_a_fallback(doubling, monkeypatch):
    """If the driver of the GPU is missing, ONNX Runtime knows the provider and continues without it."""
    real = onnxruntime.InferenceSession

    def fall_back_to_cpu(path, options, providers):
        assert providers[0][0] == "CUDAExecutionProvider"
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back_to_cpu)
    with pytest.raises(OperatorError, match="cannot run on cuda"):
        open_session(doubling, "cuda")
