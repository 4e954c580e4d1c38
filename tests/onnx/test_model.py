"""ONNX models: what they compute, for which sizes, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tilec
import tilec.onnx
from tests.onnx.models import floats, model, result
from tilec.errors import ArgumentError, ShapeError, TileTypeError, UserError

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 3, 5, 5)).astype(np.float32)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is the translation: the reference computes without compiling."""
    monkeypatch.setenv("TILEC_TARGET", "reference")


def net(sizes: list[int | str | None]) -> onnx.ModelProto:
    """A convolution, flattened by a computed shape."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], name="first"),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Shape", ["z"], ["s"], end=1),
        helper.make_node("Concat", ["s", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["z", "t"], ["out.1"]),
    ]
    return model(nodes, {"x": sizes}, ["out.1"], {"w": W, "rest": np.array([-1])})


def test_concrete_sizes_give_a_program() -> None:
    run = tilec.onnx.load(net([2, 3, 5, 5]))
    assert isinstance(run, tilec.Executable)
    assert [name for name, _ in run.inputs] == ["X"]
    found = run(X)
    assert found.shape == (2, 100)
    assert found.min() == 0


def test_symbolic_sizes_of_one_name_are_equal() -> None:
    node = helper.make_node("Add", ["x", "y"], ["z"])
    value = helper.make_tensor_value_info
    names = [value(name, TensorProto.FLOAT, ["batch", 2]) for name in "xyz"]
    model = helper.make_model(helper.make_graph([node], "sum", names[:2], names[2:]))
    run = tilec.onnx.load(model)
    one = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(run(one, one), one + one)
    with pytest.raises(ShapeError, match="the size batch is 1 for the input y, but 3 for x"):
        run(one, one[:1])
    with pytest.raises(ShapeError, match="the size batch is 2 for the input y, but 3 for x"):
        tilec.onnx.load(model, shapes={"x": (3, 2), "y": (2, 2)})


def test_symbolic_sizes_compile_for_each_call() -> None:
    found = tilec.onnx.load(net(["batch", 3, None, 5]).SerializeToString())
    assert isinstance(found, tilec.onnx.Model)
    assert str(found.inputs[0]) == "x: f32[batch, 3, ?, 5]"
    np.testing.assert_array_equal(found(X)[:1], found(X[:1]))
    np.testing.assert_array_equal(found(x=X), found(X))
    with pytest.raises(ShapeError, match=r"x: f32\[batch, 3, \?, 5\] was given the sizes"):
        found(X[:, :2])
    with pytest.raises(TileTypeError, match="was given f64"):
        found(X.astype(np.float64))
    with pytest.raises(ArgumentError, match="no input 'y'"):
        found(y=X)
    run = tilec.onnx.load(net(["batch", 3, None, 5]), shapes={"x": (1, 3, 5, 5)})
    assert isinstance(run, tilec.Executable)


def test_inputs_that_decide_about_shapes_are_known() -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    made = model(nodes, {"x": [6], "shape": [2]}, ["y"], dtypes={"shape": np.int64})
    run = tilec.onnx.load(made)
    data = np.arange(6, dtype=np.float32)
    assert run(data, np.array([2, 3])).shape == (2, 3)
    assert run(data, np.array([-1, 2])).shape == (3, 2)
    float_shape = [helper.make_node("Cast", ["s"], ["t"], to=TensorProto.INT64), nodes[0]]
    float_shape[1].input[1] = "t"
    run = tilec.onnx.load(model(float_shape, {"x": [6], "s": [2]}, ["y"]))
    assert run(data, np.array([2, 3], np.float32)).shape == (2, 3)
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    made = model(nodes, {"x": ["n"]}, ["y"])
    assert tilec.onnx.load(made)(data).tolist() == [[1, 2, 3, 4, 5]]
    with pytest.raises(ShapeError, match="elements of the input x decide"):
        tilec.onnx.load(made)(np.ones(65, np.float32))


def test_missing_operators_are_listed_together() -> None:
    nodes = [
        helper.make_node("Wobble", ["x"], ["y"], domain="own", name="w", slope=2.0),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Bounce", ["z"], ["out"], domain="own"),
    ]
    made = model(nodes, {"x": [4]}, ["out"])
    made.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(ArgumentError, match=r"lacks: own\.Bounce, own\.Wobble") as failure:
        tilec.onnx.load(made)
    assert failure.value.help is not None
    assert 'operators={"Bounce": tilec.function(' in failure.value.help
    wobble = tilec.function("function wobble(X, Slope) -> (Y) { Y = X * Slope; }")
    run = tilec.onnx.load(
        made, operators={"Wobble": wobble, "Bounce": lambda node: -node.tensor(0)}
    )
    np.testing.assert_array_equal(run(floats(1, -1, 2, 0)), floats(-2, 0, -4, 0))


def test_graphs_inside_of_graphs() -> None:
    double = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["a"])],
        "double",
        [],
        [result("a")],
    )
    negate = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["b"])],
        "negate",
        [],
        [result("b")],
    )
    nodes = [
        helper.make_node("Greater", ["n", "zero"], ["test"]),
        helper.make_node("If", ["test"], ["y"], then_branch=double, else_branch=negate),
    ]
    known = {"two": np.float32(2), "zero": np.int64(0)}
    made = model(nodes, {"x": [3], "n": []}, ["y"], known, dtypes={"n": np.int64})
    run = tilec.onnx.load(made)
    data = floats(1, 2, 3)
    np.testing.assert_array_equal(run(data, np.int64(1)), data * 2)
    np.testing.assert_array_equal(run(data, np.int64(-1)), -data)


def test_loops_are_unrolled() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "x"], ["t"]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["t"], ["each"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("s", TensorProto.FLOAT, [3]),
        ],
        [result(name) for name in ("on", "t", "each")],
    )
    nodes = [helper.make_node("Loop", ["turns", "", "x"], ["last", "all"], body=body)]
    run = tilec.onnx.load(model(nodes, {"x": [3]}, ["last", "all"], {"turns": np.int64(4)}))
    data = floats(1, 2, 3)
    last, every = run(data)
    np.testing.assert_array_equal(last, data * 5)
    np.testing.assert_array_equal(every, np.stack([data * n for n in (2, 3, 4, 5)]))


def test_local_functions_take_their_attributes() -> None:
    call = helper.make_node("Soft", ["x"], ["y"], "call", domain="own", slope=0.5)
    made = model([call], {"x": [2]}, ["y"])
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    reference = leaky.attribute.add()
    reference.name, reference.ref_attr_name = "alpha", "slope"
    reference.type = onnx.AttributeProto.FLOAT
    imports = [helper.make_opsetid("", 20)]
    made.functions.append(
        helper.make_function("own", "Soft", ["a"], ["b"], [leaky], imports, ["slope"])
    )
    made.opset_import.append(helper.make_opsetid("own", 1))
    run = tilec.onnx.load(made)
    np.testing.assert_array_equal(run(floats(-2, 2)), floats(-1, 2))


def _external(where: str) -> onnx.ModelProto:
    made = model(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": [2]}, ["y"], {"c": floats(1, 2)}
    )
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", where), ("offset", "4"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    return made


def test_folders_and_pipes_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="it is no regular file"):
        tilec.onnx.load(tmp_path)
    if hasattr(os, "mkfifo"):
        pipe = tmp_path / "pipe.onnx"
        os.mkfifo(pipe)
        with pytest.raises(ArgumentError, match="it is no regular file"):
            tilec.onnx.load(pipe)


def test_external_data_lies_beside_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (folder / "weights.bin", tmp_path / "secret.bin"):
        place.write_bytes(floats(9, 3, 4).tobytes())
    path = folder / "net.onnx"
    path.write_bytes(_external("weights.bin").SerializeToString())
    run = tilec.onnx.load(path)
    np.testing.assert_array_equal(run(floats(0, 1)), floats(3, 5))
    for where, words in (
        ("../secret.bin", "not in the model's folder"),
        (str(tmp_path / "secret.bin"), "not in the model's folder"),
        ("none.bin", "which is missing"),
    ):
        path.write_bytes(_external(where).SerializeToString())
        with pytest.raises(ArgumentError, match=words):
            tilec.onnx.load(path)
    with pytest.raises(ArgumentError, match="load it by its path"):
        tilec.onnx.load(_external("weights.bin"))


def test_files_that_are_none(tmp_path: Path) -> None:
    whole = net([2, 3, 5, 5]).SerializeToString()
    with pytest.raises(ArgumentError, match="cannot read"):
        tilec.onnx.load(tmp_path / "none.onnx")
    for data in (b"", b"no model", whole[: len(whole) // 2]):
        with pytest.raises(ArgumentError):
            tilec.onnx.load(data)
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[:-7])
    with pytest.raises(ArgumentError, match=r"cut\.onnx"):
        tilec.onnx.load(path)


def test_damaged_files_are_refused_and_never_crash() -> None:
    whole = bytearray(net([2, 3, 5, 5]).SerializeToString())
    positions = np.random.default_rng(5).integers(0, len(whole), 60)
    for at in positions:
        damaged = bytearray(whole)
        damaged[at] ^= 0x15
        try:
            found = tilec.onnx.load(bytes(damaged))
            if isinstance(found, tilec.Executable):
                found(X)
        except UserError:
            continue


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([helper.make_node("Relu", ["nowhere"], ["y"])], "nowhere"),
        (
            [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])],
            "not valid",
        ),
        ([helper.make_node("Conv", ["x", "w"], ["y"], group=2.5)], "group"),
        ([helper.make_node("Conv", ["x", "w"], ["y"], strides=[0, 1])], "Conv: conv: strides"),
        ([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1])], "Conv: pads has 2 numbers"),
        ([helper.make_node("Softmax", ["x"], ["y"], axis=9)], "axis 9"),
    ],
)
def test_faulty_nodes_are_named(nodes: list[onnx.NodeProto], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tilec.onnx.load(model(nodes, {"x": [2, 3, 5, 5]}, [nodes[-1].output[0]], {"w": W}))


def test_sizes_that_no_machine_holds() -> None:
    made = net([2, 3, 5, 5])
    made.graph.initializer[0].dims[0] = 1 << 50
    with pytest.raises(UserError, match="sizes"):
        tilec.onnx.load(made)


def test_old_opsets() -> None:
    made = model([helper.make_node("Softmax", ["x"], ["y"])], {"x": [2, 3, 4]}, ["y"], opset=7)
    found = tilec.onnx.load(made)(np.ascontiguousarray(X[0, :2, :3, :4]))
    np.testing.assert_allclose(found.sum((1, 2)), [1, 1], rtol=1e-5)
    old = model(
        [helper.make_node("Add", ["x", "b"], ["y"], broadcast=1)],
        {"x": [2, 3, 4]},
        ["y"],
        {"b": floats(1, 2, 3, 4)},
        opset=6,
    )
    old.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [4]))
    old.ir_version = 3
    old.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, 4]))
    zeros = np.zeros((2, 3, 4), np.float32)
    wanted = np.broadcast_to(floats(1, 2, 3, 4), zeros.shape)
    np.testing.assert_array_equal(tilec.onnx.load(old)(zeros), wanted)
    made.opset_import[0].version = 1000
    with pytest.raises(ArgumentError, match="opset 1000"):
        tilec.onnx.load(made)


def test_sequences_exist_inside_of_a_model() -> None:
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "y", "z"], ["all"]),
        helper.make_node("SequenceErase", ["all", "third"], ["two"]),
        helper.make_node("SequenceInsert", ["two", "x", "last"], ["three"]),
        helper.make_node("SequenceAt", ["three", "last"], ["one"]),
        helper.make_node("SequenceLength", ["three"], ["count"]),
        helper.make_node("ConcatFromSequence", ["three"], ["joined"], axis=0),
    ]
    known = {"third": np.int64(-3), "last": np.int64(-1)}
    inputs: dict[str, list[int | str | None]] = {name: [2] for name in "xyz"}
    run = tilec.onnx.load(model(nodes, inputs, ["one", "count", "joined"], known))
    one, count, joined = run(floats(1, 1), floats(2, 2), floats(3, 3))
    np.testing.assert_array_equal(one, floats(3, 3))
    assert count == 3
    np.testing.assert_array_equal(joined, floats(2, 2, 1, 1, 3, 3))


def test_quantised_convolutions() -> None:
    x = np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3)
    w = np.array([[[[1, 2], [3, 4]]]], np.uint8)
    nodes = [
        helper.make_node("ConvInteger", ["x", "w", "one"], ["sums"]),
        helper.make_node(
            "QLinearConv", ["x", "scale", "one", "w", "scale", "zero", "result", "two"], ["y"]
        ),
    ]
    known = {
        "w": w,
        "one": np.uint8(1),
        "zero": np.uint8(0),
        "two": np.uint8(2),
        "scale": np.float32(0.5),
        "result": np.float32(1),
    }
    made = model(nodes, {"x": [1, 1, 3, 3]}, ["sums", "y"], known, dtypes={"x": np.uint8})
    sums, y = tilec.onnx.load(made)(x)
    wide, factor = x.astype(int) - 1, w.astype(int)[0, 0]
    wanted = sum(
        wide[0, 0, i : i + 2, j : j + 2] * factor[i, j] for i in range(2) for j in range(2)
    )
    np.testing.assert_array_equal(sums[0, 0], wanted)
    np.testing.assert_array_equal(y[0, 0], np.round(np.asarray(wanted) / 4) + 2)
