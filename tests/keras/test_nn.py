"""Functions of ``keras.ops.nn`` and ``keras.random`` where Keras's own tests do not look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from keras_tilec.src.step import CompiledStep
from keras_tilec.src.tensor import Tensor, tracing
from tests.keras.host import keras, ops

RNG = np.random.default_rng(5)


def array(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "conv_transpose", "max_pool"])
def test_both_data_formats_agree(name: str) -> None:
    x, w = array(1, 5, 6, 4), array(2, 3, 4, 4)
    given = (2,) if name == "max_pool" else (w[..., :1] if name == "depthwise_conv" else w,)
    call = getattr(ops, name)
    last = call(x, *given, padding="same", strides=2, data_format="channels_last")
    first = call(
        np.moveaxis(x, -1, 1), *given, padding="same", strides=2, data_format="channels_first"
    )
    np.testing.assert_allclose(np.moveaxis(np.asarray(first), 1, -1), last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["conv", "depthwise_conv", "separable_conv"])
def test_a_border_of_zeros_is_padding_of_a_convolution(name: str) -> None:
    x, w = array(1, 6, 7, 3), array(3, 3, 3, 1)
    filters = (w, array(1, 1, 3, 2)) if name == "separable_conv" else (w,)
    around, call = [(0, 0), (0, 1), (1, 2), (0, 0)], getattr(ops, name)

    def sliding(given: tilec.Tensor) -> tilec.Tensor:
        with tracing():
            return call(ops.pad(Tensor(given), around), *filters, strides=2).node

    linked = tilec.trace(sliding, tilec.Spec(x.shape))
    assert "pad" not in linked.function.source
    wanted = call(np.pad(x, around), *filters, strides=2)
    found = linked.bound()(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    far = [(0, 0), (3, 3), (0, 0), (0, 0)]  # whole windows see nothing but zeros
    wide = np.asarray(call(ops.pad(x, far), *filters, strides=2))
    np.testing.assert_allclose(wide, call(np.pad(x, far), *filters, strides=2), atol=1e-5)


def test_queries_that_see_nothing_are_no_nan() -> None:
    q, k, v = array(1, 2, 1, 3), array(1, 4, 1, 3), array(1, 4, 1, 3)
    mask = np.array([[True, False, False, False], [False] * 4])[None, None]
    found = np.asarray(ops.dot_product_attention(q, k, v, mask=mask))
    np.testing.assert_allclose(found[0, 0], v[0, 0], rtol=1e-5)
    assert np.isfinite(found).all()


def test_draws_follow_from_seeds() -> None:
    generator = keras.random.SeedGenerator(7)
    one, two = (np.asarray(keras.random.uniform((4, 50), seed=generator)) for _ in range(2))
    again = np.asarray(keras.random.uniform((4, 50), seed=keras.random.SeedGenerator(7)))
    np.testing.assert_array_equal(one, again)
    assert not np.isin(one, two).all()
    assert 0 <= one.min() < one.max() < 1
    inside = np.asarray(keras.random.truncated_normal((2000,), 1.0, 0.5, seed=3))
    assert abs(inside - 1).max() <= 1
    assert abs(inside.std() / 0.5 - 0.88) < 0.05
    kept = np.asarray(keras.random.dropout(np.ones((2000,), np.float32), 0.25, seed=3))
    assert abs((kept == 0).mean() - 0.25) < 0.05
    assert np.unique(kept).tolist() == [0, np.float32(4 / 3)]
    half = keras.random.dropout(np.ones((4,), np.float16), 0.25, seed=3)
    assert half.dtype == np.float16
    classes = np.asarray(keras.random.categorical(np.log([[0.1, 0.9]]), 2000, seed=3))
    assert abs(classes.mean() - 0.9) < 0.05


def test_draws_of_gamma_and_beta_distributions() -> None:
    def draw(forms: Any) -> Any:
        return {
            "gamma": keras.random.gamma((1500, 3), forms, seed=3),
            "beta": keras.random.beta((1500, 3), forms, 2.0, seed=4),
        }

    run = CompiledStep(draw, list)
    run.begin()
    forms = np.array([0.3, 1.0, 9.0], np.float32)
    found = {name: np.asarray(each) for name, each in run(forms).items()}
    np.testing.assert_allclose(found["gamma"].mean(axis=0), forms, rtol=0.1)
    np.testing.assert_allclose(found["gamma"].var(axis=0), forms, rtol=0.2)
    np.testing.assert_allclose(found["beta"].mean(axis=0), forms / (forms + 2), rtol=0.1)
    assert 0 < found["beta"].min() < found["beta"].max() < 1
