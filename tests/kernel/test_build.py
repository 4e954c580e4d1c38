"""Index expressions that simplify as they are built: the same value, in fewer words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilec.dtypes import BOOL, F32
from tilec.kernel import build
from tilec.kernel.ir import CONDITION, INDEX, Apply, Const, Expr, Load, Ramp, Splat, Var, VType
from tilec.kernel.printer import print_expression
from tilec.kernel.walk import expressions
from tilec.lower.walk import linear_step, substitute

NAMES = "ijk"
DIVISIONS = ("floor_div", "floor_mod")
MAKERS = {
    "add": build.add,
    "sub": build.sub,
    "mul": build.mul,
    "min": build.minimum,
    "max": build.maximum,
}
values = st.fixed_dictionaries({name: st.integers(-50, 50) for name in NAMES})


@dataclass(frozen=True, slots=True)
class Tree:
    """An index expression as it was asked for: a name, a number, or an operation."""

    op: str
    args: tuple[Tree, ...] = ()
    number: int = 0

    def value(self, at: Mapping[str, int]) -> int:
        """By the definition of each operation."""
        args = [arg.value(at) for arg in self.args]
        match self.op:
            case "number":
                return self.number
            case "add":
                return args[0] + args[1]
            case "sub":
                return args[0] - args[1]
            case "mul":
                return args[0] * args[1]
            case "min":
                return min(args)
            case "max":
                return max(args)
            case "floor_div":
                return args[0] // self.number
            case "floor_mod":
                return args[0] % self.number
            case _:
                return at[self.op]

    def built(self) -> Expr:
        """Through the constructors."""
        args = [arg.built() for arg in self.args]
        match self.op:
            case "number":
                return build.const(self.number)
            case "floor_div":
                return build.floor_div(args[0], self.number)
            case "floor_mod":
                return build.floor_mod(args[0], self.number)
            case op if op in MAKERS:
                return MAKERS[op](args[0], args[1])
            case _:
                return build.var(self.op)


def _grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.builds(Tree, st.sampled_from(sorted(MAKERS)), pairs),
        st.builds(Tree, st.sampled_from(DIVISIONS), st.tuples(inner), st.integers(1, 9)),
    )


numbers = st.builds(Tree, st.just("number"), st.just(()), st.integers(-9, 9))
leaves = st.one_of(numbers, st.builds(Tree, st.sampled_from(NAMES)))
trees = st.recursive(leaves, _grown, max_leaves=12)


def evaluate(expr: Expr, at: Mapping[str, int]) -> int:
    match expr:
        case Const():
            return int(expr.value)
        case Var():
            return at[expr.name]
        case Apply(op=op) if op in DIVISIONS:
            left, right = (evaluate(arg, at) for arg in expr.args)
            assert right > 0
            return left // right if op == "floor_div" else left % right
        case Apply():
            args = tuple(Tree("number", (), evaluate(arg, at)) for arg in expr.args)
            return Tree(expr.op, args).value({})
        case _:
            raise AssertionError(f"no index expression: {expr}")


@settings(max_examples=400, deadline=None)
@given(trees, values)
def test_what_is_built_has_the_value_that_was_asked_for(tree: Tree, at: dict[str, int]) -> None:
    expr = tree.built()
    assert expr.type == INDEX
    assert evaluate(expr, at) == tree.value(at)


@settings(max_examples=200, deadline=None)
@given(trees)
def test_nothing_is_left_to_simplify(tree: Tree) -> None:
    for expr in expressions(tree.built()):
        if not isinstance(expr, Apply):
            continue
        assert not all(isinstance(arg, Const) for arg in expr.args), "arithmetic on constants"
        last = expr.args[-1]
        if isinstance(last, Const):
            assert (expr.op, last.value) not in {("add", 0), ("mul", 0), ("mul", 1)}
            assert last.value != 1 or expr.op not in DIVISIONS
            first = expr.args[0]
            if isinstance(first, Apply) and first.op == expr.op and expr.op not in DIVISIONS:
                assert not isinstance(first.args[-1], Const), "two constants in a row"
        if expr.op in ("add", "mul", "min", "max"):
            assert not isinstance(expr.args[0], Const), "constants stand on the right"


@settings(max_examples=200, deadline=None)
@given(trees, trees, values)
def test_substitution(tree: Tree, put_in: Tree, at: dict[str, int]) -> None:
    found = substitute(tree.built(), {"i": put_in.built()})
    assert evaluate(found, at) == tree.value({**at, "i": put_in.value(at)})


@settings(max_examples=300, deadline=None)
@given(trees, values)
def test_a_linear_step_is_the_difference(tree: Tree, at: dict[str, int]) -> None:
    step = linear_step(tree.built(), "i")
    if step is not None:
        assert tree.value({**at, "i": at["i"] + 1}) - tree.value(at) == step


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), trees, trees, values)
def test_comparisons(op: str, left: Tree, right: Tree, at: dict[str, int]) -> None:
    found = build.compare(f"cmp_{op}", left.built(), right.built())
    assert found.type == CONDITION
    a, b = left.value(at), right.value(at)
    wanted = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}
    if isinstance(found, Const):
        assert found.value is wanted[op]
    else:
        assert isinstance(found, Apply)
        assert (evaluate(found.args[0], at), evaluate(found.args[1], at)) == (a, b)


X, Y = build.var("i"), build.var("j")
TRUE, FALSE = (Const(value, CONDITION) for value in (True, False))


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (build.add(build.const(3), X), "i + 3"),
        (build.add(build.add(X, build.const(3)), build.const(-3)), "i"),
        (build.add(build.add(X, build.const(1)), build.add(Y, build.const(2))), "i + j + 3"),
        (build.add(build.add(X, build.const(1)), Y), "i + j + 1"),
        (build.mul(build.add(X, build.const(2)), build.const(4)), "i * 4 + 8"),
        (build.mul(build.mul(X, build.const(3)), build.const(5)), "i * 15"),
        (build.mul(build.const(0), X), "0"),
        (build.sub(X, X), "0"),
        (build.sub(X, build.const(2)), "i - 2"),
        (build.floor_div(build.const(-7), 2), "-4"),
        (build.floor_mod(build.const(-7), 4), "1"),
        (build.minimum(build.minimum(X, build.const(9)), build.const(4)), "min(i, 4)"),
        (build.maximum(build.const(9), build.maximum(build.const(4), X)), "max(i, 9)"),
        (build.minimum(X, X), "i"),
    ],
)
def test_printed(expr: Expr, text: str) -> None:
    assert print_expression(expr) == text


def test_conditions() -> None:
    test = build.compare("cmp_lt", X, Y)
    assert build.both(TRUE, test) == build.both(test, TRUE) == test
    assert build.both(FALSE, test) == build.both(test, FALSE) == FALSE
    assert build.either(FALSE, test) == build.either(test, FALSE) == test
    assert build.either(TRUE, test) == build.either(test, TRUE) == TRUE
    assert build.both(test, test) == Apply("logical_and", (test, test), CONDITION)
    assert build.either(test, test) == Apply("logical_or", (test, test), CONDITION)


def test_vectors() -> None:
    load = Load("A", X, VType(F32))
    assert build.splat(load, 1) is load
    assert build.splat(load, 4) == Splat(load, VType(F32, 4))
    assert build.splat(build.splat(load, 4), 4) == Splat(load, VType(F32, 4))
    assert build.splat(Const(1.0, VType(F32)), 4) == Const(1.0, VType(F32, 4))
    assert build.ramp(X, 1) is X
    assert build.ramp(X, 4, 2) == Ramp(X, 2, VType(INDEX.dtype, 4))
    assert build.condition_type(8) == VType(BOOL, 8)
