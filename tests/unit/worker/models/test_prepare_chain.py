"""A chain computes what its graph computes, before and after its channels are equalised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_chains import DIMENSION, SIDE, STAGES, convolved, embedder, images, run, spelled_out
from shared.errors import OperatorError
from worker.models.preparation.chain import DEVIATIONS, read

seeds = st.integers(0, 2**32 - 1)


def assert_same(chain, original, x):
    np.testing.assert_allclose(run(spelled_out(chain)[0], x)[0], run(original, x)[0], rtol=1e-4, atol=1e-4)


@settings(max_examples=20)
@given(seed=seeds, bias=st.booleans(), transposed=st.booleans())
def test_a_chain_computes_what_its_graph_computes(seed, bias, transposed):
    original = embedder(seed, bias=bias, steepest=1.5, transposed=transposed)
    chain = read(original)
    assert (chain.source, chain.output) == ("image", original.graph.output[0].name)
    assert (chain.side, len(chain.bias), len(chain.stages)) == (SIDE, DIMENSION, len(STAGES))
    assert_same(chain, original, images(seed, 2))


@settings(max_examples=20)
@given(seed=seeds, first=st.integers(0, len(STAGES) - 1))
def test_an_equalised_chain_computes_the_same_and_has_a_reach_of_1(seed, first):
    original = embedder(seed, steepest=1.5)
    chain = read(original).equalised(first)
    assert_same(chain, original, images(seed, 2))
    for i, stage in enumerate(chain.stages):
        assert np.allclose(stage.reach, 1) == (i >= first)


def test_the_reach_is_mean_plus_deviations_of_the_normalisation():
    original = embedder(3)
    (norm, *_) = (node for node in original.graph.node if node.op_type == "BatchNormalization")
    values = {t.name: np.frombuffer(t.raw_data, np.float32) for t in original.graph.initializer}
    spread, centre = (values[name] for name in norm.input[1:3])
    np.testing.assert_allclose(read(original).stages[0].reach, abs(centre) + DEVIATIONS * abs(spread), rtol=1e-6)


def test_a_channel_that_is_always_zero_remains_zero():
    original = embedder(4)
    values = {t.name: t for t in original.graph.initializer}
    for node in original.graph.node:
        if node.op_type == "BatchNormalization":
            for name in node.input[1:3]:
                silent = np.frombuffer(values[name].raw_data, np.float32).copy()
                silent[0] = 0
                values[name].raw_data = silent.tobytes()
    chain = read(original).equalised(0)
    assert all((outputs[:, 0] == 0).all() for outputs in convolved(chain, images(4)))
    assert_same(chain, original, images(4))


@pytest.mark.parametrize(
    ("operator", "other", "found"),
    [
        ("Sub", "Add", "Add where Sub should follow image"),
        ("PRelu", "Relu", "Relu where PRelu should follow"),
        ("Flatten", "Relu", "Relu where Flatten should follow"),
    ],
)
def test_another_graph_is_refused_with_its_first_difference(operator, other, found):
    original = embedder(5)
    next(node for node in original.graph.node if node.op_type == operator).op_type = other
    with pytest.raises(OperatorError, match=f"cannot quantise the model: .*{found}"):
        read(original)


def test_a_branch_is_refused():
    original = embedder(6)
    last = original.graph.node[-1]
    last.input[0] = "image"
    with pytest.raises(OperatorError, match="should follow Gemm"):
        read(original)


def test_a_gemm_with_factors_is_refused():
    original = embedder(7)
    gemm = next(node for node in original.graph.node if node.op_type == "Gemm")
    gemm.attribute.add(name="alpha", f=0.5, type=1)
    with pytest.raises(OperatorError, match="a Gemm with factors"):
        read(original)
