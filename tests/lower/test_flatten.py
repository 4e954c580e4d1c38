"""Coordinates as offsets, and loops that become one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.texts import flat_piece, flat_pieces, program
from tilec.lower.flatten import FlatPiece, offsets
from tilec.tensor.forms import form_of


def loops(flat: FlatPiece) -> list[tuple[str, int]]:
    """Output loops, then the reduction loops of the parts."""
    axes = [*flat.piece.axes, *(axis for part in flat.piece.parts for axis in part.axes)]
    return [(axis.name, axis.extent) for axis in axes]


def forms(flat: FlatPiece) -> list[str]:
    """Offsets: of the output, of the reads of each part, of those of the epilogue."""
    found = [*flat.stores, *(form for part in flat.piece.parts for form in offsets(part.body))]
    found += [] if flat.epilogue is None else offsets(flat.epilogue)
    return [str(form) for form in found]


def test_contiguous_arrays_are_one_loop() -> None:
    flat = flat_piece("C = A + B", A=(3, 4, 5), B=(3, 4, 5))
    assert loops(flat) == [("i0.i1.i2", 60)]
    assert forms(flat) == ["i0.i1.i2"] * 3


def test_without_merging() -> None:
    (flat,), _ = flat_pieces(program("C = A + B", A=(3, 4), B=(3, 4)), merge=False)
    assert loops(flat) == [("i0", 3), ("i1", 4)]
    assert forms(flat) == ["4*i0 + i1"] * 3


def test_broadcast_operands_keep_loops_apart() -> None:
    assert loops(flat_piece("C = A + B", A=(3, 4, 5), B=(5,))) == [("i0.i1", 12), ("i2", 5)]
    assert loops(flat_piece("C = A + B", A=(3, 4, 5), B=(4, 1))) == [
        ("i0", 3),
        ("i1", 4),
        ("i2", 5),
    ]
    assert loops(flat_piece("C = A + B", A=(3, 4, 5), B=(3, 1, 1))) == [("i0", 3), ("i1.i2", 20)]


def test_strides_decide() -> None:
    shape = (3, 4, 5)
    assert loops(flat_piece("C = -A", {"A": (40, 11, 2)}, A=shape)) == [
        ("i0", 3),
        ("i1", 4),
        ("i2", 5),
    ]
    # Every other plane: rows and columns still run together.
    assert loops(flat_piece("C = -A", {"A": (40, 5, 1)}, A=shape)) == [("i0", 3), ("i1.i2", 20)]


def test_negative_strides_merge_like_others_when_all_agree() -> None:
    flat = flat_piece("S[] = +(A[i, j])", {"A": (-4, -1)}, A=(3, 4))
    assert loops(flat) == [("i.j", 12)]
    assert forms(flat) == ["0", "-i.j"]


def test_reductions_merge() -> None:
    flat = flat_piece("S[] = +(A[i, j, k])", A=(3, 4, 5))
    assert loops(flat) == [("i.j.k", 60)]
    flat = flat_piece("S[i : N] = +(A[i, j, k] * B[j, k])", A=(3, 4, 5), B=(4, 5))
    assert loops(flat) == [("i", 3), ("j.k", 20)]


def test_a_constraint_pins_its_loops() -> None:
    flat = flat_piece("S[] = +(A[i, j, k]), j - k < 3", A=(3, 4, 5))
    assert loops(flat) == [("i", 3), ("j", 4), ("k", 4)]
    flat = flat_piece(
        "function (A[N, M]) -> (C) { C[i, j : N, M] = +(A[i, j + k - 1]), k < 3; }", A=(6, 7)
    )
    assert loops(flat) == [("i", 6), ("j", 7), ("k", 3)]


def test_an_index_value_pins_its_loop() -> None:
    flat = flat_piece("function (A[N, M]) -> (C) { C = A + index(A, 1); }", A=(6, 7))
    assert loops(flat) == [("i0", 6), ("i1", 7)]


def test_offsets_of_an_epilogue_count() -> None:
    text = """function (A[I, K], B[K, J], V[J]) -> (R) {
      C[i, j : I, J] = +(A[i, k] * B[k, j]); R = C + V; }"""
    row = flat_piece(text, A=(3, 4), B=(4, 5), V=(5,))
    assert loops(row) == [("i", 3), ("j", 5), ("k", 4)]
    assert forms(row)[-1] == "j"
    # A 1x1 convolution: nothing tells the rows from the columns of the image.
    image = """function (I[H, W, C], K[C, D], B[D]) -> (R) {
      O[h, w, d : H, W, D] = +(I[h, w, c] * K[c, d]); R = O + B; }"""
    assert loops(flat_piece(image, I=(6, 7, 3), K=(3, 8), B=(8,)))[:2] == [("h.w", 42), ("d", 8)]


def test_residue_classes_are_pieces_of_their_own() -> None:
    flats, _ = flat_pieces(program("function (A[N]) -> (O) { O[i : 2 * N] = +(A[i/2]); }", A=(5,)))
    assert [loops(flat) for flat in flats] == [[("i", 5)], [("i", 5)]]
    assert [str(flat.stores[0]) for flat in flats] == ["2*i", "2*i + 1"]
    assert [len(flat.piece.parts) for flat in flats] == [1, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.data(),
)
def test_merged_loops_visit_the_same_offsets(shape: list[int], data: st.DataObject) -> None:
    """In the same order, whatever the strides."""
    strides = tuple(data.draw(st.sampled_from([-6, -2, -1, 0, 1, 2, 3, 4, 6, 12])) for _ in shape)
    made = program("C = -A", A=tuple(shape))
    (merged,), _ = flat_pieces(made, {"A": strides})
    (plain,), _ = flat_pieces(made, {"A": strides}, merge=False)
    assert visited(merged) == visited(plain)


def visited(flat: FlatPiece) -> list[tuple[int, ...]]:
    points: list[dict[str, int]] = [{}]
    for axis in flat.piece.axes:
        points = [{**p, axis.name: at} for p in points for at in range(axis.low, axis.high)]
    (part,) = flat.piece.parts
    found = [form_of(form) for form in (*flat.stores, *offsets(part.body))]
    return [
        tuple(f.const + sum(factor * p[name] for name, factor in f.terms) for f in found)
        for p in points
    ]
