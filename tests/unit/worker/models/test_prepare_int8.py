"""Tiny embedders in 8 bits: close to fp32, and without overflow on any CPU."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_chains import STAGES, convolved, embedder, images, run
from shared.errors import OperatorError
from worker.models.preparation.chain import read
from worker.models.preparation.graph import prepare
from worker.models.preparation.int8 import FLOAT_STAGES, quantize
from worker.models.preparation.quantization import quantize_rows

seeds = st.integers(0, 2**32 - 1)


def ranges_of(original, x):
    """Return the ranges of activations for these images."""
    outputs = convolved(read(original).equalised(FLOAT_STAGES - 1), x)[FLOAT_STAGES - 1 :]
    return [(float(values.min()), float(values.max())) for values in outputs]


RANGES = [(-1.0, 1.0)] * (len(STAGES) - FLOAT_STAGES + 1)


def cosine(a, b):
    return (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)


@settings(max_examples=30)
@given(seed=seeds)
def test_vectors_are_close_to_fp32(seed):
    original, x = embedder(seed), images(seed, 4)
    eight_bits = prepare(quantize(original, ranges_of(original, x)), dynamic_sides=False)
    exact, near = run(original, x)[0], run(eight_bits, x)[0]
    assert np.abs(near - exact).max() < 0.2 * np.abs(exact).max()
    assert cosine(near, exact) > 0.995


def test_a_batch_equals_single_images():
    original, x = embedder(1), images(1, 3)
    eight_bits = prepare(quantize(original, ranges_of(original, x)), dynamic_sides=False)
    one_by_one = np.concatenate([run(eight_bits, image[None])[0] for image in x])
    np.testing.assert_allclose(run(eight_bits, x)[0], one_by_one, rtol=1e-5, atol=1e-5)


def test_a_constant_channel_keeps_its_value():
    original, x = embedder(8), images(8, 2)
    values = {t.name: t for t in original.graph.initializer}
    for norm in [node for node in original.graph.node if node.op_type == "BatchNormalization"][FLOAT_STAGES:-1]:
        constant = np.frombuffer(values[norm.input[1]].raw_data, np.float32).copy()
        constant[0] = 1e-12
        values[norm.input[1]].raw_data = constant.tobytes()
    eight_bits = prepare(quantize(original, ranges_of(original, x)), dynamic_sides=False)
    assert cosine(run(eight_bits, x)[0], run(original, x)[0]) > 0.995


def test_all_weights_after_the_first_stages_are_bytes():
    original = embedder(2)
    made = prepare(quantize(original, RANGES), dynamic_sides=False)
    floats = [t for t in made.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1]
    assert sum(node.op_type == "Conv" and "Conv" in node.input[0] for node in made.graph.node)
    assert {len(t.dims) for t in floats} == {4}
    assert sum(t.dims[1] * t.dims[2] > 1 for t in floats) == FLOAT_STAGES
    assert [node.op_type for node in made.graph.node][-2:] == ["Reshape", "MatMulIntegerToFloat"]


def test_inputs_and_outputs_keep_their_names_and_the_batch_is_dynamic():
    original = embedder(3)
    made = prepare(quantize(original, RANGES), dynamic_sides=False)
    for before, after in ((original.graph.input, made.graph.input), (original.graph.output, made.graph.output)):
        assert [value.name for value in before] == [value.name for value in after]
        assert after[0].type.tensor_type.shape.dim[0].dim_param


def test_ranges_of_another_model_are_refused():
    with pytest.raises(OperatorError, match="cannot quantise the model: 5 stages for 3 ranges"):
        quantize(embedder(5), RANGES[:3])


def test_a_prelu_with_a_slope_above_1_is_refused():
    with pytest.raises(OperatorError, match="cannot quantise the model: a PReLU steeper than 1"):
        quantize(embedder(6, steepest=3.0), RANGES)


weights = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-100, 100, allow_subnormal=False),
)


@given(weights)
def test_rows_are_within_half_a_step_of_their_weights(weight):
    whole, scale = quantize_rows(weight)
    assert whole.dtype == np.int8
    assert whole.shape == weight.shape
    assert (scale > 0).all()
    assert (np.abs(whole * scale[:, None].astype(np.float64) - weight) <= scale[:, None] * 0.501).all()


@given(weights)
def test_sums_of_two_products_fit_into_16_bits(weight):
    whole = quantize_rows(weight)[0].astype(int)
    if whole.shape[1] % 2 == 0:
        pairs = whole.reshape(len(whole), -1, 2)
        assert 255 * pairs.clip(0).sum(axis=2).max() <= 32767
        assert 255 * pairs.clip(None, 0).sum(axis=2).min() >= -32768
    assert np.abs(whole).max() <= 127


def test_a_scale_is_at_least_the_given_one():
    whole, scale = quantize_rows(np.array([[1e-9, 0], [12.7, 0]]), np.array([0.5, 0.001]))
    assert scale.tolist() == pytest.approx([0.5, 0.1])
    assert whole.tolist() == [[0, 0], [127, 0]]


def test_a_row_of_zeros_remains_zero():
    whole, scale = quantize_rows(np.zeros((2, 4)))
    assert not whole.any()
    assert (scale == 1).all()
