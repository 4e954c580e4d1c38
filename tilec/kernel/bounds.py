"""Proofs that accesses stay inside their buffers: intervals first, integer sets where they fail.

An index is a linear form over atoms: loop variables, the lane of a vector, and what is not linear
(``floor(x/4)``, ``min(x, y)``, an integer read from memory). Each atom has an interval, refined by
loop bounds, guards and masks. When the interval of an offset leaves the buffer, the same facts are
given to isl, which knows how atoms hang together and finds a counterexample if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from math import inf
from typing import Final, TypeAlias

from tilec.dtypes import I64, DType, Kind, integer_range
from tilec.errors import InternalError
from tilec.kernel.ir import Apply, Const, Expr, Fold, Load, Ramp, Splat, Var, Zip
from tilec.records import dataclass

Bound: TypeAlias = int | float
"""A whole number or an infinity."""

LANE: Final = "lane"
"""The isl variable of the lane that is looked at."""

MAX_OPERATIONS: Final = 20_000_000
"""Steps that isl may take for one access; about two seconds."""

_UNKNOWN: Final = "1 = 1"
_OPPOSITE: Final = {
    "cmp_eq": "cmp_ne",
    "cmp_ne": "cmp_eq",
    "cmp_lt": "cmp_ge",
    "cmp_ge": "cmp_lt",
    "cmp_gt": "cmp_le",
    "cmp_le": "cmp_gt",
}
_SYMBOLS: Final = {
    "cmp_eq": "=",
    "cmp_ne": "!=",
    "cmp_lt": "<",
    "cmp_ge": ">=",
    "cmp_gt": ">",
    "cmp_le": "<=",
}


MAX_LIMITS: Final = 16
"""Forms tried in place of one that holds extremes and quotients."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``const + sum(factor * atom)``; an atom is isl text."""

    terms: tuple[tuple[str, int], ...] = ()
    const: int = 0

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """``self + factor * other``."""
        total = dict(self.terms)
        for atom, coefficient in other.terms:
            total[atom] = total.get(atom, 0) + factor * coefficient
        kept = tuple((atom, c) for atom, c in total.items() if c)
        return Linear(kept, self.const + factor * other.const)

    @property
    def text(self) -> str:
        """As isl reads it."""
        return f"({' + '.join([*(f'{c}*{atom}' for atom, c in self.terms), str(self.const)])})"


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a loop variable: ``first``, ``first + step``, ... before ``end``."""

    first: Linear
    end: Linear
    step: int


class Facts:
    """What is known where a statement runs.

    Attributes:
        dead: What is known contradicts itself: nothing runs here.
        variables: Names in the kernel by isl name.
        conditions: What holds, as isl reads it.
        loops: Values of loop variables by isl name.
    """

    def __init__(self) -> None:
        self.dead = False
        self.variables: dict[str, str] = {}
        self.conditions: list[str] = []
        self.loops: dict[str, Range] = {}
        self._values: dict[str, Linear] = {}
        self._tests: dict[str, Expr] = {}
        self._vectors: dict[str, Expr] = {}  # looked at again for the lanes of each access
        self._intervals: dict[str, tuple[Bound, Bound]] = {}
        self._parts: dict[str, tuple[str, Linear, Linear]] = {}  # operation and operands of atoms

    def fork(self) -> Facts:
        """The same facts, to be added to inside a block."""
        twin = copy(self)
        twin._values = dict(self._values)
        twin._tests = dict(self._tests)
        twin._vectors = dict(self._vectors)
        twin._intervals = dict(self._intervals)
        twin._parts = dict(self._parts)
        twin.variables = dict(self.variables)
        twin.conditions = list(self.conditions)
        twin.loops = dict(self.loops)
        return twin

    def enter_loop(self, name: str, start: Expr, stop: Expr, step: int) -> str:
        """The variable runs from ``start`` by ``step`` to before ``stop``; returns its isl name."""
        first, end = self._integer(start), self._integer(stop)
        low, high = self.bound(first)[0], self.bound(end)[1] - 1
        if not first.terms and not end.terms:
            high = first.const + (end.const - 1 - first.const) // step * step
        variable = self._new(name, low, high)
        self._values[name] = variable
        label = variable.terms[0][0]
        self.loops[label] = Range(first, end, step)
        rule = f"{first.text} <= {variable.text} < {end.text}"
        if step > 1:
            rule += f" and ({variable.text} - {first.text}) mod {step} = 0"
        self.conditions.append(rule)
        self.dead = self.dead or low > high
        # Where the body runs, the range is not empty: that says something of what bounds it.
        self._not_negative(variable.plus(first, -1))
        self._not_negative(end.plus(variable, -1).plus(Linear(const=-1)))
        return label

    def define(self, name: str, value: Expr) -> None:
        """``name`` stands for ``value``."""
        if value.type.lanes > 1:
            self._vectors[name] = value
        elif value.type.dtype.is_integer:
            self._values[name] = self._integer(value)
        elif value.type.dtype.kind is Kind.BOOL:
            self._tests[name] = value

    def assume(self, condition: Expr, *, holds: bool = True) -> None:
        """The condition is true (or false)."""
        match condition:
            case Const():
                self.dead = self.dead or bool(condition.value) is not holds
            case Splat():
                self.assume(condition.arg, holds=holds)
            case Var() if condition.name in self._tests:
                self.assume(self._tests[condition.name], holds=holds)
            case Var() if condition.name in self._vectors:
                self.assume(self._vectors[condition.name], holds=holds)
            case Apply(op="logical_not"):
                self.assume(condition.args[0], holds=not holds)
            case Apply(op="logical_and" | "logical_or") if holds is (condition.op == "logical_and"):
                for arg in condition.args:
                    self.assume(arg, holds=holds)
            case _:
                self._refine(condition, holds=holds)
                self.conditions.append(self._condition(condition, holds=holds))

    def outside(self, offset: Linear, low: int, high: int) -> str | None:
        """A case in which not ``low <= offset < high``, or None."""
        first, last = self.bound(offset)
        if self.dead or (low <= first and last < high):
            return None
        wrong = f"({offset.text} < {low} or {offset.text} >= {high})"
        point = sample(tuple(self.variables), (*self.conditions, wrong))
        if point is None:
            return None
        return ", ".join(f"{self.variables[label]} = {at}" for label, at in point.items())

    def at(self, index: Expr, lanes: int, stride: int, mask: Expr | None) -> tuple[Facts, Linear]:
        """What holds in an active lane of an access, and its offset."""
        facts = self.fork()
        if lanes > 1:
            facts._enter_lanes(lanes)
        if mask is not None:
            facts.assume(mask)
        offset = facts._integer(index)
        if index.type.lanes == 1 and lanes > 1:
            offset = offset.plus(Linear(((LANE, stride),)))
        return facts, offset

    def _enter_lanes(self, lanes: int) -> None:
        self._intervals[LANE] = (0, lanes - 1)
        self.variables[LANE] = LANE
        self.conditions.append(f"0 <= {LANE} < {lanes}")

    def _new(self, name: str, low: Bound, high: Bound) -> Linear:
        """A new isl variable; isl has its own rules for names, so it gets a number."""
        label = f"x{len(self.variables)}"
        self.variables[label] = name
        self._intervals[label] = (low, high)
        return Linear(((label, 1),))

    def unknown(self, dtype: DType, low: Bound = -inf, high: Bound = inf) -> Linear:
        """An integer of which only the range is known."""
        lowest, highest = integer_range(dtype)
        first, last = max(low, lowest), min(high, highest)
        value = self._new("a value", first, last)
        self.conditions.append(f"{first} <= {value.text} <= {last}")
        return value

    def bound(self, form: Linear) -> tuple[Bound, Bound]:
        """Lowest and highest value of a linear form, atoms taken as independent."""
        low: Bound = form.const
        high: Bound = form.const
        for atom, factor in form.terms:
            first, last = self._intervals[atom]
            low += factor * (first if factor > 0 else last)
            high += factor * (last if factor > 0 else first)
        return low, high

    def interval(self, atom: str) -> tuple[Bound, Bound]:
        """Lowest and highest value of an atom."""
        return self._intervals.get(atom, (-inf, inf))

    def highest(self, form: Linear, measure: Callable[[Linear], Bound]) -> Bound:
        """The lowest bound of a form from above that ``measure`` gives for it and its limits.

        Limits have operands in place of extremes and quotients: min(x, y) is at most x.
        """
        own = measure(form)
        for atom, factor in form.terms:
            every, options = self._limits(atom, factor)
            if options:
                rest = form.plus(Linear(((atom, factor),)), -1)
                each = [self.highest(rest.plus(option), measure) for option in options]
                return min(own, min(each) if every else max(each))
        return own

    def variants(self, form: Linear) -> list[Linear]:
        """``form`` and all its limits from above and below."""
        found = [form]
        for each in found:
            for atom, factor in each.terms:
                rest = each.plus(Linear(((atom, factor),)), -1)
                if atom in self._parts and len(found) < MAX_LIMITS:
                    found += [rest.plus(option) for option in self._limits(atom, factor)[1]]
        return found

    def _limits(self, atom: str, factor: int) -> tuple[bool, list[Linear]]:
        """Forms of which each is at least ``factor * atom``; or, if False, the highest one is."""
        if atom not in self._parts:
            return True, []
        op, left, right = self._parts[atom]
        if op == "floor":  # e - d + 1 <= d * floor(e/d) <= e
            times, rest = divmod(factor, right.const)
            least = 0 if factor > 0 else 1 - right.const
            return True, [] if rest else [Linear().plus(left.plus(Linear(const=least)), times)]
        return op == ("min" if factor > 0 else "max"), [
            Linear().plus(operand, factor) for operand in (left, right)
        ]

    def _integer(self, expr: Expr) -> Linear:
        """Meaning of an integer expression, in the lane that is looked at."""
        match expr:
            case Const():
                return Linear(const=int(expr.value))
            case Var() if expr.name in self._vectors:
                return self._integer(self._vectors[expr.name])
            case Var():
                known = self._values.get(expr.name)
                return self.unknown(expr.type.dtype) if known is None else known
            case Splat():
                return self._integer(expr.arg)
            case Ramp():
                start = self._integer(expr.start)
                if expr.type.lanes == 1:
                    return start
                return self._fitting(start.plus(Linear(((LANE, expr.stride),))), expr.type.dtype)
            case Load() | Fold() | Zip():
                return self.unknown(expr.type.dtype)
            case Apply(op="cast") if expr.args[0].type.dtype.is_integer:
                return self._fitting(self._integer(expr.args[0]), expr.type.dtype)
            case Apply(op="cond"):
                return self._choice(expr)
            case Apply() if expr.op in _FORMS and all(a.type.dtype.is_integer for a in expr.args):
                form = _FORMS[expr.op](self, [self._integer(arg) for arg in expr.args])
                dtype = expr.type.dtype
                return self.unknown(dtype) if form is None else self._fitting(form, dtype)
            case Apply():
                return self.unknown(expr.type.dtype)

    def _fitting(self, form: Linear, dtype: DType) -> Linear:
        """``form``, unless it may leave the range of its dtype and wrap."""
        low, high = self.bound(form)
        lowest, highest = integer_range(dtype)
        return form if lowest <= low and high <= highest else self.unknown(dtype)

    def atom(
        self, text: str, low: Bound, high: Bound, parts: tuple[str, Linear, Linear] | None = None
    ) -> Linear:
        """What is not linear, named by its isl text; ``parts`` are its operation and operands."""
        if parts is not None:
            self._parts[text] = parts
        known = self._intervals.get(text, (-inf, inf))
        self._intervals[text] = (max(low, known[0]), min(high, known[1]))
        return Linear(((text, 1),))

    def _choice(self, expr: Apply) -> Linear:
        test, then, otherwise = expr.args
        first, second = self._integer(then), self._integer(otherwise)
        (a, b), (c, d) = self.bound(first), self.bound(second)
        value = self._new("a value", min(a, c), max(b, d))
        yes = f"({self._condition(test, holds=True)} and {value.text} = {first.text})"
        no = f"({self._condition(test, holds=False)} and {value.text} = {second.text})"
        self.conditions.append(f"{yes} or {no}")
        return value

    def _condition(self, expr: Expr, *, holds: bool) -> str:
        """What isl reads, true at least wherever the condition is (not)."""
        match expr:
            case Const():
                return _UNKNOWN if bool(expr.value) is holds else "1 = 0"
            case Splat():
                return self._condition(expr.arg, holds=holds)
            case Var() if expr.name in self._tests:
                return self._condition(self._tests[expr.name], holds=holds)
            case Var() if expr.name in self._vectors:
                return self._condition(self._vectors[expr.name], holds=holds)
            case Apply(op="logical_not"):
                return self._condition(expr.args[0], holds=not holds)
            case Apply(op="logical_and" | "logical_or"):
                word = " and " if holds is (expr.op == "logical_and") else " or "
                parts = [f"({self._condition(arg, holds=holds)})" for arg in expr.args]
                return word.join(parts)
            case Apply() if _compares_integers(expr):
                op = expr.op if holds else _OPPOSITE[expr.op]
                left, right = (self._integer(arg) for arg in expr.args)
                return f"{left.text} {_SYMBOLS[op]} {right.text}"
            case _:
                return _UNKNOWN

    def _refine(self, condition: Expr, *, holds: bool) -> None:
        """Narrow the intervals of the atoms in a comparison."""
        if not isinstance(condition, Apply) or not _compares_integers(condition):
            return
        op = condition.op if holds else _OPPOSITE[condition.op]
        left, right = (self._integer(arg) for arg in condition.args)
        if op in ("cmp_ge", "cmp_gt", "cmp_eq"):
            self._not_negative(left.plus(right, -1).plus(Linear(const=-(op == "cmp_gt"))))
        if op in ("cmp_le", "cmp_lt", "cmp_eq"):
            self._not_negative(right.plus(left, -1).plus(Linear(const=-(op == "cmp_lt"))))

    def _not_negative(self, form: Linear) -> None:
        self._narrow(form)
        for atom, factor in form.terms:
            every, options = self._limits(atom, factor)
            if every and not self.dead:
                rest = form.plus(Linear(((atom, factor),)), -1)
                for option in options:
                    self._not_negative(rest.plus(option))

    def _narrow(self, form: Linear) -> None:
        """Narrow the intervals of the atoms in a form that is not negative."""
        if self.bound(form)[1] < 0:
            self.dead = True
            return
        for atom, factor in form.terms:
            low, high = self._intervals[atom]
            rest = self.bound(form.plus(Linear(((atom, factor),)), -1))[1]
            if rest == inf:
                continue
            limit = -(int(rest) // abs(factor))  # factor * atom >= -rest
            low, high = (max(low, limit), high) if factor > 0 else (low, min(high, -limit))
            self._intervals[atom] = (low, high)
            self.dead = self.dead or low > high


def sample(names: tuple[str, ...], rules: Iterable[str]) -> dict[str, int] | None:
    """Whole numbers for which all rules hold, asked of isl; None when there are none."""
    import islpy

    text = f"{{ [{', '.join(names)}] : {' and '.join(f'({rule})' for rule in rules)} }}"
    context = islpy.DEFAULT_CONTEXT
    context.reset_operations()
    context.set_max_operations(MAX_OPERATIONS)
    try:
        found = islpy.Set.read_from_str(context, text)
        if found.is_empty():
            return None
        point = found.sample_point()
        return {
            name: point.get_coordinate_val(islpy.dim_type.set, at).to_python()
            for at, name in enumerate(names)
        }
    except islpy.Error as error:
        raise InternalError(f"isl cannot decide whether there is a point of {text}") from error
    finally:
        context.set_max_operations(0)


def _compares_integers(expr: Apply) -> bool:
    return expr.op in _OPPOSITE and expr.args[0].type.dtype.is_integer


def _product(facts: Facts, args: list[Linear]) -> Linear | None:
    left, right = args
    if left.terms and right.terms:
        return _ranged_product(facts, left, right)
    if not right.terms:
        left, right = right, left
    return Linear().plus(right, left.const)


def _ranged_product(facts: Facts, left: Linear, right: Linear) -> Linear | None:
    corners = [a * b for a in facts.bound(left) for b in facts.bound(right)]
    if any(corner != corner or abs(corner) == inf for corner in corners):
        return None
    return facts.unknown(I64, min(corners), max(corners))


def _extreme(facts: Facts, args: list[Linear], name: str) -> Linear:
    (a, b), (c, d) = (facts.bound(arg) for arg in args)
    if name == "min":
        low, high = min(a, c), min(b, d)
        if b <= c or d <= a:
            return args[0] if b <= c else args[1]
    else:
        low, high = max(a, c), max(b, d)
        if a >= d or c >= b:
            return args[0] if a >= d else args[1]
    text = f"{name}({args[0].text}, {args[1].text})"
    return facts.atom(text, low, high, (name, args[0], args[1]))


def _quotient(facts: Facts, args: list[Linear], *, toward_zero: bool) -> Linear | None:
    value, divisor = args
    low, high = facts.bound(value)
    if divisor.terms or divisor.const < 1 or (toward_zero and low < 0):
        return None
    d = divisor.const
    ends = tuple(end if abs(end) == inf else end // d for end in (low, high))
    if ends[0] == ends[1] and abs(ends[0]) != inf:
        return Linear(const=int(ends[0]))
    return facts.atom(f"floor({value.text}/{d})", ends[0], ends[1], ("floor", value, divisor))


def _rest(facts: Facts, args: list[Linear], *, toward_zero: bool) -> Linear | None:
    whole = _quotient(facts, args, toward_zero=toward_zero)
    if whole is None:
        return None
    d = args[1].const
    if not whole.terms:
        return args[0].plus(whole, -d)
    return facts.atom(f"({args[0].text} mod {d})", 0, d - 1)


_FORMS: Final[dict[str, Callable[[Facts, list[Linear]], Linear | None]]] = {
    "add": lambda facts, args: args[0].plus(args[1]),
    "sub": lambda facts, args: args[0].plus(args[1], -1),
    "neg": lambda facts, args: Linear().plus(args[0], -1),
    "fma": lambda facts, args: None,
    "mul": _product,
    "min": lambda facts, args: _extreme(facts, args, "min"),
    "max": lambda facts, args: _extreme(facts, args, "max"),
    "relu": lambda facts, args: _extreme(facts, [args[0], Linear()], "max"),
    "abs": lambda facts, args: _extreme(facts, [args[0], Linear().plus(args[0], -1)], "max"),
    "floor_div": lambda facts, args: _quotient(facts, args, toward_zero=False),
    "floor_mod": lambda facts, args: _rest(facts, args, toward_zero=False),
    "div": lambda facts, args: _quotient(facts, args, toward_zero=True),
    "mod": lambda facts, args: _rest(facts, args, toward_zero=True),
}
