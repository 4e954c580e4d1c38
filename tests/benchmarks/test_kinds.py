"""Every kind: the Tile program, the float64 reference and NumPy say the same on small sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from benchmarks.case import Array, Case, Row, RowError, make_case
from benchmarks.session import relative_error
from benchmarks.window import Window, window

SMALL: dict[str, list[dict[str, object]]] = {
    "gemm": [
        {"m": 5, "n": 3, "k": 7},
        {"m": 5, "n": 3, "k": 7, "a_t": True},
        {"m": 5, "n": 3, "k": 7, "b_t": True},
        {"m": 4, "n": 3, "k": 2, "a_t": True, "b_t": True},
    ],
    "gemv": [{"m": 5, "k": 7}, {"m": 5, "k": 7, "a_t": True}],
    "dense": [
        {"batch": 1, "widths": [6, 4]},
        {"batch": 3, "widths": [6, 5, 4], "last_relu": False},
        {"batch": 2, "widths": [3, 4], "bias": False, "relu": False},
        {"batch": 3, "widths": [6, 5, 4], "last_relu": False, "gelu": True},
    ],
    "conv": [
        {"h": 6, "w": 5, "ci": 3, "co": 4, "kh": 3, "kw": 3, "pad": 1},
        {"h": 6, "w": 5, "ci": 3, "co": 4, "kh": 1, "kw": 1, "pad": 1, "n": 2},
        {"h": 8, "w": 8, "ci": 3, "co": 4, "kh": 3, "kw": 3, "stride": 2, "pad": "same"},
        {"h": 5, "w": 5, "ci": 4, "co": 6, "kh": 3, "kw": 2, "groups": 2, "bias": False},
        {"h": 5, "w": 6, "ci": 4, "co": 6, "kh": 3, "kw": 3, "groups": 2, "layout": "NCHW"},
        {"h": 5, "w": 6, "ci": 2, "co": 3, "kh": 3, "kw": 3, "layout": "NCHW", "relu": False},
    ],
    "conv_gradient": [
        {"of": "X", "h": 6, "w": 5, "ci": 3, "co": 4, "kh": 3, "kw": 3, "pad": 1},
        {"of": "K", "h": 6, "w": 5, "ci": 3, "co": 4, "kh": 3, "kw": 3, "pad": 1, "n": 2},
        {"of": "X", "h": 8, "w": 7, "ci": 3, "co": 4, "kh": 3, "kw": 3, "stride": 2, "pad": 1},
        {"of": "K", "h": 8, "w": 7, "ci": 3, "co": 4, "kh": 1, "kw": 1, "stride": 2, "pad": 0},
    ],
    "depthwise": [
        {"h": 6, "w": 5, "c": 4, "k": 3, "pad": 1},
        {"h": 6, "w": 6, "c": 4, "k": 3, "stride": 2, "pad": "same", "n": 2},
        {"h": 6, "w": 5, "c": 4, "k": 3, "bias": False, "relu": False},
    ],
    "separable": [
        {"h": 6, "w": 5, "c": 4, "co": 3, "k": 3, "pad": 1},
        {"h": 6, "w": 6, "c": 4, "co": 5, "k": 3, "stride": 2, "pad": "same", "n": 2},
    ],
    "einsum": [
        {"expr": "acik,bkjc->abij", "sizes": {"a": 2, "b": 3, "c": 4, "i": 2, "j": 3, "k": 2}},
        {"expr": "ikl,kj,lj->ij", "sizes": {"i": 3, "j": 2, "k": 4, "l": 5}},
        {"expr": "abc,ai,bj,ck->ijk", "sizes": {"a": 4, "b": 3, "c": 5, "i": 2, "j": 2, "k": 3}},
        {"expr": "ij->j", "sizes": {"i": 3, "j": 4}},
    ],
    "rowwise": [
        {"op": op, "m": 5, "n": 7}
        for op in ("softmax", "layer-norm", "log-sum-exp", "gelu", "broadcast", "batch-norm")
    ],
    "training": [{"batch": 2, "size": 8, "channels": [3, 4], "dense": 5}],
    "attention": [{"heads": 2, "tokens": 5, "width": 3}],
    "movement": [
        {"op": "sum", "axes": [0], "shape": [3, 4]},
        {"op": "sum", "axes": [0, 2], "shape": [3, 4, 5]},
        {"op": "sum", "axes": [0, 1], "shape": [3, 4]},
        {"op": "permute", "axes": [1, 0], "shape": [3, 4]},
        {"op": "permute", "axes": [2, 0, 1], "shape": [3, 4, 5]},
        {"op": "concat", "axes": [1], "shape": [3, 4]},
    ],
}
CASES = [(kind, row) for kind, rows in SMALL.items() for row in rows]


def small(kind: str, row: dict[str, object]) -> Case:
    return make_case(kind, Row(row))


@pytest.mark.parametrize(("kind", "row"), CASES, ids=[f"{kind}-{row}" for kind, row in CASES])
def test_program_reference_and_numpy_agree(kind: str, row: dict[str, object]) -> None:
    case = small(kind, row)
    inputs = case.inputs()
    expected = case.reference(inputs)
    assert expected.shape == case.output
    assert expected.dtype == np.float64
    function = tilec.function(case.program)
    assert [each.name for each in function.inputs] == list(case.shapes)
    result: Any = function(*inputs.values(), target="reference")
    results: list[Any] = list(result) if len(function.outputs) > 1 else [result]
    flat: Array = np.concatenate([np.ravel(each) for each in results])
    assert relative_error(flat.reshape(expected.shape), expected) < 1e-5
    if "numpy" in case.peers:
        work = case.peers["numpy"](np, inputs)
        work.run()
        assert relative_error(work.result(), expected) < 1e-5


WITH_PEER = [
    (kind, row, peer)
    for kind, row in CASES
    for peer in ("torch", "jax")
    if peer in small(kind, row).peers
]


@pytest.mark.parametrize(
    ("kind", "row", "peer"),
    WITH_PEER,
    ids=[f"{kind}-{row}-{peer}" for kind, row, peer in WITH_PEER],
)
def test_peers_that_are_installed_agree(kind: str, row: dict[str, object], peer: str) -> None:
    module: Any = pytest.importorskip(peer, reason="pip install 'tilec[bench]'")
    case = small(kind, row)
    inputs = case.inputs()
    work = case.peers[peer](module, inputs)
    work.run()
    assert relative_error(work.result(), case.reference(inputs)) < 1e-5


def test_work_and_traffic() -> None:
    case = small("gemm", {"m": 5, "n": 3, "k": 7})
    assert case.flop == 2 * 5 * 3 * 7
    assert case.bytes == 4 * (5 * 7 + 7 * 3 + 5 * 3)
    case = small("conv", SMALL["conv"][0])
    assert case.flop == 2 * 6 * 5 * 4 * 3 * 9
    assert case.constants == {"K", "B"}


def test_products_of_many_factors_are_counted_in_the_cheapest_order() -> None:
    case = small("einsum", {"expr": "ij,jk,k->i", "sizes": {"i": 50, "j": 40, "k": 30}})
    assert case.flop == 2 * (40 * 30 + 50 * 40)
    assert "T1[j : N_j] = +(B[j, k] * C[k])" in case.program


def test_inputs_are_reproducible_and_aligned() -> None:
    case = small("gemm", {"m": 5, "n": 3, "k": 7})
    first, second = case.inputs(), case.inputs()
    assert all((first[name] == second[name]).all() for name in first)
    assert all(array.ctypes.data % 64 == 0 for array in first.values())


@pytest.mark.parametrize(
    ("pad", "expected"),
    [(1, Window(8, 3, 2, 1, 1)), (0, Window(8, 3, 2, 0, 0)), ("same", Window(8, 3, 2, 0, 1))],
)
def test_padding(pad: object, expected: Window) -> None:
    assert window(Row({"stride": 2, "pad": pad}), 8, 3) == expected


def test_index_expressions() -> None:
    assert Window(8, 3, 1, 1, 1).index("y", "i") == "y + i - 1"
    assert Window(8, 3, 2, 0, 0).index("y", "i") == "2*y + i"
    assert Window(8, 1, 2, 0, 0).index("y", "i") == "2*y"


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("gemm", {"m": 5, "n": 3}, "the column k is missing"),
        ("gemm", {"m": 5, "n": 3, "k": True}, "k is True, which is not an integer"),
        ("rowwise", {"op": "sort", "m": 5, "n": 3}, "there is no operation 'sort'"),
        ("movement", {"op": "sort", "axes": [0], "shape": [3]}, "there is no operation 'sort'"),
        ("nothing", {}, "there is no kind 'nothing'"),
        ("conv", SMALL["conv"][0] | {"groups": 2}, "cannot be divided into 2 groups"),
        ("conv", SMALL["conv"][0] | {"h": 1, "pad": 0}, "does not fit into 1 elements"),
        ("einsum", {"expr": "ij,jk", "sizes": {}}, "is not of the form"),
        ("einsum", {"expr": "ij->i", "sizes": {"i": 3}}, "without a size or an operand"),
    ],
)
def test_rows_that_do_not_suit(kind: str, row: dict[str, object], message: str) -> None:
    with pytest.raises(RowError, match=message):
        small(kind, row)
