"""Functions of ``keras.ops.nn`` and ``keras.random`` where Keras's own tests do not look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
