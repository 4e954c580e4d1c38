"""Lints about arithmetic on sizes: divisions that leave a remainder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.errors import Collector, UserError
from tilec.lang import ast, builtins, walk
from tilec.lang.checked import Checked
from tilec.lang.finding import Lint
from tilec.lang.lower import statements
from tilec.lang.lower.builder import Builder, Frame
from tilec.lang.lower.expressions import evaluate
from tilec.lang.lower.program import bound_names
from tilec.lang.lower.values import Number
from tilec.tensor.ir import Program


def size_lints(
    checked: Checked, program: Program, values: Mapping[str, int | float]
) -> Iterator[Lint]:
    """Divisions in sizes that truncate for the sizes of a program."""
    types = {value.name: value.type for value in program.inputs}
    env = bound_names(checked, types, values)
    frame = Frame(checked, Builder(Collector()), env, statements.run)
    needed = set[str]()
    for statement in checked.function.body:
        if isinstance(statement, ast.Assignment):
            number = _number(statement.value, frame)
            if number is not None:
                frame.env[statement.name] = number
    for statement in reversed(checked.function.body):
        roots = list(_size_expressions(statement))
        if isinstance(statement, ast.Assignment) and statement.name in needed:
            roots.append(statement.value)
        for root in roots:
            for expr in walk.expressions(root):
                if isinstance(expr, ast.Name):
                    needed.add(expr.name)
                if isinstance(expr, ast.Binary) and expr.op == "/":
                    yield from _division(expr, frame)


def _size_expressions(statement: ast.Statement) -> Iterator[ast.Expr]:
    """Expressions that stand as sizes; names in index expressions, which are sizes, too."""
    if isinstance(statement, ast.Contraction):
        yield from statement.sizes or ()
        for constraint in statement.constraints:
            yield constraint.bound
            yield from _names(constraint.form)
        for expr in statement.indices:
            yield from _names(expr)
        for expr in walk.expressions(statement.body):
            if isinstance(expr, ast.Access):
                for index in expr.indices:
                    yield from _names(index)
        return
    for expr in walk.expressions(statement.value):
        if not isinstance(expr, ast.Call):
            continue
        builtin = builtins.find(expr.function)
        if builtin is not None and builtin.sizes is not None:
            yield from expr.args[builtin.sizes :]


def _names(expr: ast.Expr) -> Iterator[ast.Name]:
    return (e for e in walk.expressions(expr) if isinstance(e, ast.Name))


def _number(expr: ast.Expr, frame: Frame) -> Number | None:
    """The number that an expression is for these sizes; None if it is none."""
    for below in walk.expressions(expr):
        match below:
            case ast.Name():
                if not isinstance(frame.env.get(below.name), Number):
                    return None
            case ast.Call():
                builtin = builtins.find(below.function)
                if builtin is None or not builtins.folds(builtin):
                    return None
            case _:
                pass
    try:
        value = evaluate(expr, frame)
    except UserError:
        return None
    return value if isinstance(value, Number) else None


def _division(expr: ast.Binary, frame: Frame) -> Iterator[Lint]:
    left, right = _number(expr.left, frame), _number(expr.right, frame)
    if left is None or right is None:
        return
    dividend, divisor = left.value, right.value
    if not isinstance(dividend, int) or not isinstance(divisor, int) or divisor == 0:
        return
    if dividend % divisor == 0 or _rounds_up(expr, divisor, frame):
        return
    quotient = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
    text = " ".join(expr.span.text.split())
    spelled = f"{dividend} / {divisor}"
    example = "" if text == spelled else f" for {spelled}"
    yield Lint(
        "truncating-division",
        f"the size {text} truncates: it is {quotient}{example}",
        expr.span,
        f"(x + d - 1) / d rounds up; assert_divisible({expr.left.span.text} % "
        f"{expr.right.span.text} == 0) demands that nothing is left",
    )


def _rounds_up(expr: ast.Binary, divisor: int, frame: Frame) -> bool:
    """True for ``(x + d - 1) / d`` and ``(x + 1) / 2``, which truncate on purpose."""
    match expr.left:
        case ast.Binary(op="+", right=added):
            number = _number(added, frame)
            return number is not None and number.value == divisor - 1
        case ast.Binary(op="-", left=ast.Binary(op="+", right=added), right=one):
            sum_, minus = _number(added, frame), _number(one, frame)
            if sum_ is None or minus is None:
                return False
            return sum_.value == divisor and minus.value == 1
        case _:
            return False
