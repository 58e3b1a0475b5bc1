"""Prepared graphs compute what the originals compute; the graphs are tiny and random."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.graph import prepare, unpacked
from worker.models.preparation.quantization import dequantize
from worker.vision.session import onnxruntime

seeds = st.integers(0, 2**32 - 1)


def model(nodes, weights, *, inputs, outputs, listed=(), opset=21):
    """Make a model. inputs, outputs: name to shape. listed: weights are also listed as inputs, as by old exporters."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
        + [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(weights[n].dtype), weights[n].shape)
            for n in listed
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made)
    return made


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, {"x": x})[0]


def operators(made):
    return {node.op_type for node in made.graph.node}


def floats(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def norm_weights(rng, channels, prefix="bn"):
    return {
        f"{prefix}.gamma": floats(rng, channels),
        f"{prefix}.beta": floats(rng, channels),
        f"{prefix}.mean": floats(rng, channels),
        f"{prefix}.var": rng.uniform(0.1, 2, channels).astype(np.float32),
    }


def norm(source, target, prefix="bn"):
    names = [f"{prefix}.{part}" for part in ("gamma", "beta", "mean", "var")]
    return helper.make_node("BatchNormalization", [source, *names], [target], epsilon=1e-3)


def assert_same(original, prepared, x):
    np.testing.assert_allclose(run(prepared, x), run(original, x), rtol=1e-4, atol=1e-5)


@settings(max_examples=30)
@given(
    seed=seeds,
    block=st.sampled_from([1, 2, 3, 6]),
    axis=st.sampled_from([0, 1]),
    dtype=st.sampled_from([np.int8, np.uint8]),
    zero=st.booleans(),
)
def test_block_dequantisation_equals_that_of_onnx_runtime(seed, block, axis, dtype, zero):
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    shape = [6, 6]
    blocks = [-(-side // block) if i == axis else side for i, side in enumerate(shape)]
    weights = {
        "q": rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype),
        "s": rng.uniform(0.01, 1, blocks).astype(np.float32),
    }
    if zero:
        weights["z"] = rng.integers(info.min, info.max, blocks, endpoint=True).astype(dtype)
    original = model(
        [
            helper.make_node("DequantizeLinear", list(weights), ["w"], axis=axis, block_size=block),
            helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        ],
        weights,
        inputs={"x": [1, 6]},
        outputs={"y": [1, 6]},
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"Gemm"}
    assert_same(original, prepared, floats(rng, 1, 6))


@settings(max_examples=20)
@given(seed=seeds, per_axis=st.booleans(), axis=st.sampled_from([0, 1, -1]))
def test_plain_dequantisation_equals_that_of_onnx_runtime(seed, per_axis, axis):
    rng = np.random.default_rng(seed)
    sides = (3, 5)
    count = [sides[axis]] if per_axis else []
    weights = {
        "q": rng.integers(-128, 128, sides).astype(np.int8),
        "s": np.asarray(rng.uniform(0.01, 1, count), np.float32),
        "z": np.asarray(rng.integers(-128, 128, count), np.int8),
    }
    original = model(
        [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=axis),
            helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        ],
        weights,
        inputs={"x": [1, 5]},
        outputs={"y": [1, 3]},
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"Gemm"}
    assert_same(original, prepared, floats(rng, 1, 5))


def test_a_last_block_may_be_shorter():
    got = dequantize(np.arange(5, dtype=np.int8), np.array([1, 10], np.float32), axis=0, block=3)
    assert got.tolist() == [0, 1, 2, 30, 40]
    assert got.dtype == np.float32


@settings(max_examples=20)
@given(seed=seeds, bias=st.booleans(), group=st.sampled_from([1, 4]))
def test_batch_norm_is_folded_into_the_convolution_before_it(seed, bias, group):
    rng = np.random.default_rng(seed)
    weights = {"w": floats(rng, 8, 4 // group, 3, 3), **norm_weights(rng, 8)}
    if bias:
        weights["b"] = floats(rng, 8)
    original = model(
        [
            helper.make_node("Conv", ["x", "w", *(["b"] if bias else [])], ["c"], group=group, pads=[1, 1, 1, 1]),
            norm("c", "y"),
        ],
        weights,
        inputs={"x": [1, 4, 5, 5]},
        outputs={"y": [1, 8, 5, 5]},
        listed=weights,
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"Conv"}
    assert len(prepared.graph.node) == 1
    assert_same(original, prepared, floats(rng, 1, 4, 5, 5))


@settings(max_examples=20)
@given(seed=seeds, transposed=st.booleans())
def test_batch_norm_is_folded_into_the_gemm_before_it(seed, transposed):
    rng = np.random.default_rng(seed)
    weights = {"w": floats(rng, *((3, 6) if transposed else (6, 3))), "b": floats(rng, 3), **norm_weights(rng, 3)}
    original = model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["g"], transB=int(transposed)), norm("g", "y")],
        weights,
        inputs={"x": [1, 6]},
        outputs={"y": [1, 3]},
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"Gemm"}
    assert_same(original, prepared, floats(rng, 1, 6))


@pytest.mark.parametrize(("shape", "expected"), [([1, 3, 4, 4], {"Conv"}), ([1, 3], {"Mul", "Add"})])
def test_batch_norm_alone_becomes_scale_and_shift(shape, expected):
    rng = np.random.default_rng(1)
    original = model([norm("x", "y")], norm_weights(rng, 3), inputs={"x": shape}, outputs={"y": shape})
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == expected
    assert_same(original, prepared, floats(rng, *shape))


def test_batch_norm_is_not_folded_into_a_convolution_with_other_readers():
    rng = np.random.default_rng(2)
    original = model(
        [helper.make_node("Conv", ["x", "w"], ["c"]), norm("c", "n"), helper.make_node("Add", ["c", "n"], ["y"])],
        {"w": floats(rng, 2, 2, 1, 1), **norm_weights(rng, 2)},
        inputs={"x": [1, 2, 3, 3]},
        outputs={"y": [1, 2, 3, 3]},
    )
    assert_same(original, prepare(original, dynamic_sides=False), floats(rng, 1, 2, 3, 3))


def test_batch_norm_is_not_folded_into_a_gemm_with_factors():
    rng = np.random.default_rng(3)
    original = model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["g"], alpha=0.5, beta=2.0), norm("g", "y")],
        {"w": floats(rng, 4, 3), "b": floats(rng, 3), **norm_weights(rng, 3)},
        inputs={"x": [1, 4]},
        outputs={"y": [1, 3]},
    )
    assert_same(original, prepare(original, dynamic_sides=False), floats(rng, 1, 4))


@settings(max_examples=20)
@given(seed=seeds, channels=st.integers(1, 9))
def test_prelu_is_rewritten(seed, channels):
    rng = np.random.default_rng(seed)
    shape = [1, channels, 4, 3]
    original = model(
        [helper.make_node("PRelu", ["x", "a"], ["y"])],
        {"a": floats(rng, channels, 1, 1)},
        inputs={"x": shape},
        outputs={"y": shape},
    )
    prepared = prepare(original, dynamic_sides=False)
    assert "PRelu" not in operators(prepared)
    assert_same(original, prepared, floats(rng, *shape))


def test_prelu_with_a_single_slope_is_unchanged():
    original = model(
        [helper.make_node("PRelu", ["x", "a"], ["y"])],
        {"a": np.array([0.25], np.float32)},
        inputs={"x": [1, 5]},
        outputs={"y": [1, 5]},
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"PRelu"}
    assert_same(original, prepared, floats(np.random.default_rng(0), 1, 5))


def heads(rng, channels, *, opset=21, bias=True, activated=False):
    """Return a feature map, and for each head a 1 x 1 convolution and a depthwise one."""
    nodes, weights = [], {}
    for i, count in enumerate(channels):
        weights |= {f"p{i}": floats(rng, count, 6, 1, 1), f"d{i}": floats(rng, count, 1, 3, 3)}
        if bias:
            weights |= {f"pb{i}": floats(rng, count), f"db{i}": floats(rng, count)}
        plain, deep = ([f"p{i}", f"pb{i}"], [f"d{i}", f"db{i}"]) if bias else ([f"p{i}"], [f"d{i}"])
        nodes.append(helper.make_node("Conv", ["x", *plain], [f"c{i}"], kernel_shape=[1, 1]))
        if activated:
            nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        source = f"r{i}" if activated else f"c{i}"
        nodes.append(helper.make_node("Conv", [source, *deep], [f"h{i}"], group=count, pads=[1, 1, 1, 1]))
    # One output combines all heads.
    nodes.append(helper.make_node("Concat", [f"h{i}" for i in reversed(range(len(channels)))], ["y"], axis=1))
    return model(nodes, weights, inputs={"x": [1, 6, 5, 5]}, outputs={"y": [1, sum(channels), 5, 5]}, opset=opset)


@settings(max_examples=20)
@given(seed=seeds, channels=st.lists(st.integers(1, 5), min_size=2, max_size=4), opset=st.sampled_from([11, 13, 21]))
def test_parallel_pairs_of_convolutions_are_merged(seed, channels, opset):
    rng = np.random.default_rng(seed)
    original = heads(rng, channels, opset=opset)
    prepared = prepare(original, dynamic_sides=True)
    assert [node.op_type for node in prepared.graph.node] == ["Conv", "Conv", "Split", "Concat"]
    assert_same(original, prepared, floats(rng, 1, 6, 5, 5))
    assert run(prepared, floats(rng, 2, 6, 3, 7)).shape == (2, sum(channels), 3, 7)


@pytest.mark.parametrize("kind", [{"bias": False}, {"activated": True}], ids=str)
def test_pairs_of_another_kind_are_unchanged(kind):
    rng = np.random.default_rng(8)
    original = heads(rng, [1, 4], **kind)
    prepared = prepare(original, dynamic_sides=True)
    assert [n.op_type for n in prepared.graph.node] == [n.op_type for n in original.graph.node]
    assert_same(original, prepared, floats(rng, 1, 6, 5, 5))


def test_pairs_that_differ_in_more_than_weights_are_not_merged():
    rng = np.random.default_rng(9)
    original = heads(rng, [2, 2])
    pads = next(a for a in original.graph.node[3].attribute if a.name == "pads")
    pads.ints[:] = [2, 2, 2, 2]
    original.graph.node[3].attribute.add(name="dilations", ints=[2, 2], type=onnx.AttributeProto.INTS)
    prepared = prepare(original, dynamic_sides=True)
    assert operators(prepared) == {"Conv", "Concat"}
    assert_same(original, prepared, floats(rng, 1, 6, 5, 5))


def test_a_convolution_of_all_channels_into_one_is_not_taken_for_a_depthwise_one():
    rng = np.random.default_rng(10)
    weights, nodes = {}, []
    for i in range(2):
        weights |= {f"p{i}": floats(rng, 4, 6, 1, 1), f"pb{i}": floats(rng, 4)}
        weights |= {f"s{i}": floats(rng, 1, 4, 1, 1), f"sb{i}": floats(rng, 1)}
        nodes += [
            helper.make_node("Conv", ["x", f"p{i}", f"pb{i}"], [f"c{i}"]),
            helper.make_node("Conv", [f"c{i}", f"s{i}", f"sb{i}"], [f"h{i}"]),
        ]
    nodes.append(helper.make_node("Add", ["h0", "h1"], ["y"]))
    original = model(nodes, weights, inputs={"x": [1, 6, 3, 3]}, outputs={"y": [1, 1, 3, 3]})
    prepared = prepare(original, dynamic_sides=True)
    assert operators(prepared) == {"Conv", "Add"}
    assert_same(original, prepared, floats(rng, 1, 6, 3, 3))


def test_a_convolution_with_other_readers_is_kept():
    rng = np.random.default_rng(11)
    original = heads(rng, [2, 2])
    original.graph.node[-1].input.append("c0")
    original.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 6
    prepared = prepare(original, dynamic_sides=True)
    assert operators(prepared) == {"Conv", "Concat"}
    assert_same(original, prepared, floats(rng, 1, 6, 5, 5))


def test_a_scalar_remains_a_scalar():
    original = model(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        {"factor": np.array(2, np.float32)},
        inputs={"x": [1, 3]},
        outputs={"y": [1, 3]},
    )
    (factor,) = prepare(original, dynamic_sides=False).graph.initializer
    assert list(factor.dims) == []


def test_unpacked_weights_are_plain_and_other_nodes_are_unchanged():
    rng = np.random.default_rng(12)
    original = model(
        [
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0, block_size=3),
            helper.make_node("Conv", ["x", "w"], ["c"]),
            norm("c", "n"),
            helper.make_node("PRelu", ["n", "a"], ["y"]),
        ],
        {
            "q": rng.integers(-128, 128, (6, 2, 1, 1)).astype(np.int8),
            "s": rng.uniform(0.01, 1, (2, 2, 1, 1)).astype(np.float32),
            "a": floats(rng, 6, 1, 1),
            **norm_weights(rng, 6),
        },
        inputs={"x": [1, 2, 3, 3]},
        outputs={"y": [1, 6, 3, 3]},
    )
    plain = unpacked(original)
    assert [node.op_type for node in plain.graph.node] == ["Conv", "BatchNormalization", "PRelu"]
    assert_same(original, plain, floats(rng, 1, 2, 3, 3))


def detector(rng):
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["t", "shape"], ["y"]),
        ],
        {"w": floats(rng, 4, 3, 3, 3), "shape": np.array([1, -1, 4], np.int64)},
        inputs={"x": [1, 3, 8, 8]},
        outputs={"y": [1, 16, 4]},
    )


def test_batch_and_sides_become_dynamic():
    rng = np.random.default_rng(4)
    original = detector(rng)
    prepared = prepare(original, dynamic_sides=True)
    x = floats(rng, 1, 3, 8, 8)
    assert_same(original, prepared, x)
    assert run(prepared, floats(rng, 1, 3, 4, 6)).shape == (1, 6, 4)
    both = run(prepared, np.concatenate([x, -x]))
    np.testing.assert_allclose(both, np.concatenate([run(original, x), run(original, -x)]), rtol=1e-5, atol=1e-6)


def test_only_the_batch_of_an_embedder_becomes_dynamic():
    prepared = prepare(detector(np.random.default_rng(4)), dynamic_sides=False)
    (declared,) = prepared.graph.input
    assert [d.dim_param or d.dim_value for d in declared.type.tensor_type.shape.dim] == ["batch", 3, 8, 8]


def test_dropout_identity_and_constants_are_removed():
    rng = np.random.default_rng(5)
    ratio = numpy_helper.from_array(np.array(0.4, np.float32))
    original = model(
        [
            helper.make_node("Constant", [], ["ratio"], value=ratio),
            helper.make_node("Identity", ["x"], ["i"]),
            helper.make_node("Dropout", ["i", "ratio"], ["d"]),
            helper.make_node("Flatten", ["d"], ["f"]),
            helper.make_node("Gemm", ["f", "w"], ["y"]),
        ],
        {"w": floats(rng, 12, 2), "unused": floats(rng, 3)},
        inputs={"x": [1, 3, 2, 2]},
        outputs={"y": [1, 2]},
        listed=["w", "unused"],
    )
    prepared = prepare(original, dynamic_sides=False)
    assert operators(prepared) == {"Flatten", "Gemm"}
    assert [i.name for i in prepared.graph.input] == ["x"]
    assert [t.name for t in prepared.graph.initializer] == ["w"]
    assert_same(original, prepared, floats(rng, 1, 3, 2, 2))


def test_the_original_is_unchanged():
    original = detector(np.random.default_rng(6))
    before = original.SerializeToString(deterministic=True)
    prepare(original, dynamic_sides=True)
    assert original.SerializeToString(deterministic=True) == before


def test_an_invalid_graph_is_refused():
    original = detector(np.random.default_rng(7))
    original.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(OperatorError, match=r"cannot prepare the model: .*NoSuchOperator"):
        prepare(original, dynamic_sides=True)
