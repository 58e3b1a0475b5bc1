"""The decoded outputs of a detector are those that NumPy decodes; the graph is tiny and random, of YuNet's form."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.faces import STRIDES, decode_faces
from worker.models.preparation.graph import checked, prepare
from worker.vision.session import onnxruntime

KINDS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def yunet(rng, opset=21, kinds=tuple(KINDS)):
    """Return a detector of the published form, for images of any size, whose features are averages of the image."""
    nodes, weights = [], {"shape": np.array([1, -1, 0], np.int64)}
    for stride in STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool", ["x"], [f"f{stride}"], kernel_shape=[stride, stride], strides=[stride, stride]
            )
        )
        for kind in kinds:
            size, head = KINDS[kind], f"{kind}_{stride}"
            weights |= {f"{head}.p": rng.normal(size=(size, 3, 1, 1)), f"{head}.pb": rng.normal(size=size)}
            weights |= {f"{head}.d": rng.normal(size=(size, 1, 3, 3)), f"{head}.db": rng.normal(size=size)}
            weights |= {f"{head}.shape": np.array([1, -1, size], np.int64)}
            last = f"{head}.r" if kind in {"cls", "obj"} else head
            nodes += [
                helper.make_node("Conv", [f"f{stride}", f"{head}.p", f"{head}.pb"], [f"{head}.c"]),
                helper.make_node(
                    "Conv", [f"{head}.c", f"{head}.d", f"{head}.db"], [f"{head}.h"], group=size, pads=[1] * 4
                ),
                helper.make_node("Transpose", [f"{head}.h"], [f"{head}.t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{head}.t", f"{head}.shape"], [last]),
            ]
            if last != head:
                nodes.append(helper.make_node("Sigmoid", [last], [head]))
    graph = helper.make_graph(
        nodes,
        "yunet",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [
            helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, [1, (64 // stride) ** 2, KINDS[kind]])
            for stride in STRIDES
            for kind in kinds
        ],
        [
            numpy_helper.from_array(value.astype(np.float32) if value.dtype.kind == "f" else value, name)
            for name, value in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"x": x}), strict=True))


def decoded(outputs, width):
    """Return what OpenCV's decoding makes of the outputs for one image: (cells, 15)."""
    rows = []
    for stride in STRIDES:
        score = np.sqrt(outputs[f"cls_{stride}"][0] * outputs[f"obj_{stride}"][0])
        cells = np.arange(len(score))
        corner = np.stack([cells % (width // stride), cells // (width // stride)], axis=1)
        box = outputs[f"bbox_{stride}"][0]
        size = np.exp(box[:, 2:]) * stride
        place = (corner + box[:, :2]) * stride - size / 2
        landmarks = (outputs[f"kps_{stride}"][0].reshape(-1, 5, 2) + corner[:, None]) * stride
        rows.append(np.concatenate([place, size, landmarks.reshape(-1, 10), score], axis=1))
    return np.concatenate(rows)


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (96, 64)])
def test_each_cell_gives_box_landmarks_and_score_in_pixels(opset, height, width):
    rng = np.random.default_rng(height + width)
    prepared = prepare(yunet(rng, opset), dynamic_sides=True)
    images = rng.normal(size=(2, 3, height, width)).astype(np.float32)
    faces = run(checked(decode_faces(prepared)), images)
    assert list(faces) == ["faces"]
    for image, found in zip(images, faces["faces"], strict=True):
        np.testing.assert_allclose(found.T, decoded(run(prepared, image[None]), width), rtol=1e-4, atol=1e-4)


def test_nothing_but_the_decoded_outputs_is_left():
    prepared = prepare(yunet(np.random.default_rng(1)), dynamic_sides=True)
    made = decode_faces(prepared)
    read = {name for node in made.graph.node for name in node.input}
    assert {weight.name for weight in made.graph.initializer} <= read
    assert all(read.intersection(node.output) or "faces" in node.output for node in made.graph.node)
    assert len(prepared.graph.output) == len(STRIDES) * len(KINDS), "the given model is unchanged"


@pytest.mark.parametrize("kinds", [("cls", "obj", "bbox"), ("kps", "bbox", "obj")])
def test_a_graph_without_the_outputs_of_yunet_is_refused(kinds):
    with pytest.raises(OperatorError, match="cannot prepare the detector"):
        decode_faces(prepare(yunet(np.random.default_rng(2), kinds=kinds), dynamic_sides=True))


def test_outputs_that_share_no_tensor_are_refused():
    with pytest.raises(OperatorError, match="comes from no Split"):
        decode_faces(yunet(np.random.default_rng(3)))


def test_strides_whose_channels_are_ordered_differently_are_refused():
    made = prepare(yunet(np.random.default_rng(4)), dynamic_sides=True)
    cls, obj = (next(node for node in made.graph.node if f"{kind}_16" in node.output) for kind in ("cls", "obj"))
    cls.output[0], obj.output[0] = obj.output[0], cls.output[0]
    with pytest.raises(OperatorError, match="its strides differ"):
        decode_faces(onnx.load_from_string(made.SerializeToString()))
