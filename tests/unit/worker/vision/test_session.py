import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from shared.errors import OperatorError
from worker.vision.session import onnxruntime, open_session


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
