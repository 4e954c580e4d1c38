"""Index domains: every question against enumeration, and the sizes that enumeration cannot do."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tensor.build import contraction, form, place, points, program, read, tensor, times
from tests.tensor.random_contractions import REACH, contractions
from tilec.errors import InternalError, LimitError
from tilec.tensor import domain, isl
from tilec.tensor.ir import Aggregation, Constraint, Contraction, Map, Reshape, TensorType
from tilec.tensor.size import concrete

HUGE = 1 << 40

Case = tuple[Contraction, dict[str, TensorType]]

RANDOM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@RANDOM
@given(contractions())
def test_points_and_bounds_are_those_of_enumeration(case: Case) -> None:
    node, types = case
    found = points(node, types, REACH)
    asked = domain.of(node, types)
    assert domain.is_empty(asked) == (not found)
    sample = domain.sample_point(asked)
    if not found:
        assert sample is None
        assert domain.unbounded_indices(node, types) == ()
        return
    assert sample in found
    expected = {
        name: (min(p[name] for p in found), max(p[name] for p in found)) for name in node.indices
    }
    assert domain.bounds(asked) == expected


@RANDOM
@given(contractions())
def test_coverage_is_that_of_enumeration(case: Case) -> None:
    node, types = case
    written = {place(node, point) for point in points(node, types, REACH)}
    missing = [
        element
        for element in product(*map(range, concrete(node.type.shape)))
        if element not in written
    ]
    assert domain.covers_output(node, types) == (not missing)
    assert domain.uncovered_element(node, types) == (missing[0] if missing else None)


@RANDOM
@given(contractions())
def test_write_conflict_is_the_first_pair_of_enumeration(case: Case) -> None:
    node, types = case
    found = points(node, types, REACH)
    first: dict[tuple[int, ...], list[dict[str, int]]] = {}
    for point in found:
        first.setdefault(place(node, point), []).append(point)
    pairs = [(same[0], same[1]) for same in first.values() if len(same) > 1]
    conflict = domain.write_conflict(node, types)
    if not pairs:
        assert conflict is None
        return
    least = min(pairs, key=lambda pair: [*pair[0].values(), *pair[1].values()])
    assert conflict == (*least, place(node, least[0]))


@RANDOM
@given(contractions())
def test_the_least_point_is_found_without_lexmin(case: Case) -> None:
    # What stands in where isl's own lexmin fails.
    node, types = case
    missing = domain.box(concrete(node.type.shape)).subtract(domain.relation(node, types).range())
    for found in (domain.of(node, types), missing):
        assert found._first_by_dimension() == found.first()  # pyright: ignore[reportPrivateUsage]


@RANDOM
@given(contractions())
def test_an_implied_constraint_removes_no_point(case: Case) -> None:
    node, types = case
    asked, found = domain.of(node, types), points(node, types, REACH)
    for name in node.indices:
        for bound in (1, 3):
            constraint = Constraint(form(f"{name}/2"), bound)
            expected = all(p[name] % 2 == 0 and 0 <= p[name] // 2 < bound for p in found)
            assert domain.implied(asked, constraint) == expected


def test_sizes_beyond_any_memory() -> None:
    types = {"A": tensor(HUGE, HUGE), "B": tensor(HUGE, HUGE)}
    node = contraction("i, j", (HUGE, HUGE), times(read("A", "i, k"), read("B", "k, j")))
    assert domain.bounds(domain.of(node, types)) == dict.fromkeys("ijk", (0, HUGE - 1))
    assert domain.covers_output(node, types)
    strided = contraction("i", (HUGE,), read("A", "3*i + 1, 0"))
    assert domain.bounds(domain.of(strided, types)) == {"i": (0, (HUGE - 2) // 3)}
    assert domain.uncovered_element(strided, types) == ((HUGE - 2) // 3 + 1,)


def test_numbers_beyond_64_bits() -> None:
    big = 10**30
    types = {"A": tensor(big)}
    node = contraction("i", (big,), read("A", f"{10**25}*i"))
    assert domain.bounds(domain.of(node, types)) == {"i": (0, 99999)}


def test_a_scalar_contraction_has_one_point() -> None:
    node = contraction("", (), read("A", ""))
    assert domain.bounds(domain.of(node, {"A": tensor()})) == {}
    assert domain.sample_point(domain.of(node, {"A": tensor()})) == {}
    assert domain.covers_output(node, {"A": tensor()})


def test_rational_accesses_are_integral() -> None:
    # Zero-insertion: only even i read an element.
    node = contraction("i", (8,), read("A", "i/2"))
    types = {"A": tensor(4)}
    assert domain.bounds(domain.of(node, types)) == {"i": (0, 6)}
    assert domain.uncovered_element(node, types) == (1,)


def test_a_constraint_hides_a_lower_bound() -> None:
    node = contraction("i", (9,), read("A", "i"), constraints=(("i - 2", 100),))
    assert domain.bounds(domain.of(node, {"A": tensor(9)})) == {"i": (2, 8)}


def test_unbounded_indices_are_named() -> None:
    node = contraction("0", (1,), times(read("A", "i - j"), read("A", "k")))
    assert domain.unbounded_indices(node, {"A": tensor(4)}) == ("i", "j")
    with pytest.raises(InternalError, match="has no bounds"):
        domain.bounds(domain.of(node, {"A": tensor(4)}))


def test_an_axis_without_elements_is_told_apart_from_a_mistake() -> None:
    node = contraction("i", (3,), read("A", "k, i"))
    assert domain.is_empty(domain.of(node, {"A": tensor(0, 3)}))
    assert domain.has_empty_axis(node, {"A": tensor(0, 3)})
    beyond = contraction("i", (3,), read("A", "i + 7, 0"))
    assert domain.is_empty(domain.of(beyond, {"A": tensor(4, 3)}))
    assert not domain.has_empty_axis(beyond, {"A": tensor(4, 3)})


def test_no_conflict_is_looked_for_where_each_index_has_its_axis() -> None:
    node = contraction("j, 2*i", (4, 9), read("A", "i, j"), agg=Aggregation.ASSIGN)
    assert domain.write_conflict(node, {"A": tensor(4, 4)}) is None


def test_conflict_of_overlapping_writes() -> None:
    node = contraction("2*i + j", (8,), read("A", "i"), constraints=(("j", 3),))
    assert domain.write_conflict(node, {"A": tensor(4)}) == (
        {"i": 0, "j": 2},
        {"i": 1, "j": 0},
        (2,),
    )


def test_relation_maps_points_to_elements() -> None:
    node = contraction("2*i + j", (8,), read("A", "i"), constraints=(("j", 2),))
    relation = domain.relation(node, {"A": tensor(4)})
    assert relation.is_injective()
    assert relation.range().subtract(domain.box((8,))).is_empty()
    assert domain.box((8,)).is_subset(relation.range())
    assert str(relation.domain()) == str(domain.of(node, {"A": tensor(4)}))
    assert "i" in str(relation)


def test_gist_keeps_what_the_context_does_not_say() -> None:
    node = contraction("i", (8,), read("A", "i + j - 1"), constraints=(("j", 3),))
    types = {"A": tensor(8)}
    box = domain.satisfying(("i", "j"), (Constraint(form("i"), 8), Constraint(form("j"), 3)))
    left = domain.gist(domain.of(node, types), box)
    assert left.intersect(box).subtract(domain.of(node, types)).is_empty()
    assert str(left) == "{ [i, j] : -i < j <= 8 - i }"


def test_unread_elements_by_contractions_and_maps() -> None:
    types = {"A": tensor(6), "B": tensor(2, 3)}
    evens = contraction("i", (3,), read("A", "2*i"))
    assert domain.unread_element("A", program(types, evens)) == (1,)
    assert domain.unread_element("B", program(types, evens)) == (0, 0)
    odds = Map("P", tensor(3), ("x",), read("A", "x"))
    assert domain.unread_element("A", program(types, evens, odds)) == (3,)
    whole = Reshape("R", tensor(3, 2), "A")
    assert domain.unread_element("A", program(types, evens, whole)) is None
    assert domain.unread_element("O", program(types, evens)) is None
    window = contraction("i", (4,), read("A", "i + k"), constraints=(("k", 3),))
    assert domain.unread_element("A", program(types, window)) is None


def test_a_question_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isl, "MAX_OPERATIONS", 2000)
    types = {"A": tensor(HUGE)}
    body = times(*(read("A", name) for name in "ijkl"), read("A", "3/64*i + 5/7*j + 7/11*k"))
    node = contraction("97*i + 101*j + 103*k + 107*l", (HUGE,), body)
    assert not domain.is_empty(domain.of(node, types))
    written = domain.relation(node, types).range()
    with pytest.raises(LimitError, match="too complicated"):
        domain.box((HUGE,)).subtract(written)
    # What only asks in order to do better makes do without an answer.
    assert not domain.covers_output(node, types)
    assert domain.uncovered_element(node, types) is None


def test_islpy_is_imported_when_the_first_set_is_built() -> None:
    code = "import sys, tilec.tensor.evaluate; sys.exit('islpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_conflict_of_a_strided_inverse() -> None:
    # Here isl's minimum over a union with empty parts is wrong.
    types = {"I": tensor(8, 28, 28, 64), "F": tensor(3, 3, 64, 64)}
    body = times(read("I", "n, y/2 - p/2 + 1/2, x/2 - q/2 + 1/2, c"), read("F", "p, q, c, d"))
    node = contraction("n, y, x, d", (8, 56, 56, 64), body)
    conflict = domain.write_conflict(node, types)
    assert conflict is not None
    first, second, element = conflict
    assert first == dict.fromkeys("nyxdc", 0) | {"p": 1, "q": 1}
    assert second == first | {"c": 1}
    assert element == (0, 0, 0, 0)


def test_conflict_where_isl_finds_no_least_point() -> None:
    node = contraction(
        "-2*j",
        (3,),
        read("A", "k + 2*l, 1/2 - k/2"),
        constraints=(("i + 1", 2), ("l", 2)),
        indices=("i", "j", "k", "l"),
    )
    assert domain.write_conflict(node, {"A": tensor(64, 5)}) == (
        {"i": -1, "j": -1, "k": -1, "l": 1},
        {"i": -1, "j": -1, "k": 1, "l": 0},
        (2,),
    )
