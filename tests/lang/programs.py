"""Random syntax trees, and expressions as prefix text for comparison."""

from __future__ import annotations

from hypothesis import strategies as st

from tilec.dtypes import BY_NAME
from tilec.lang import ast
from tilec.source import Source, Span
from tilec.tensor.ir import Aggregation

NOWHERE = Span(Source("<test>", ""), 0, 0)

BINARY = ("+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "&", "|", "^")

_plain = st.sampled_from(["A", "B", "N", "Out1", "A'", "X_y"])
_odd = st.sampled_from(["x", "a'", "_T12", "_", "default", "function", "no_defract", "Z9_'"])
names = st.one_of(_plain, _plain, _odd)
index_names = st.one_of(
    st.sampled_from(["i", "j", "k1", "i'"]), st.sampled_from(["X", "_I_0"]), _odd
)
functions = st.one_of(st.sampled_from(["exp", "max", "Foo", "f'"]), _odd)

ints = st.builds(ast.IntLiteral, st.integers(0, (1 << 63) - 1), st.just(NOWHERE))
floats = st.builds(
    ast.FloatLiteral,
    st.floats(min_value=0, allow_nan=False),
    st.sampled_from(["", "1.", ".5", "not a number", "-1.0"]),
    st.just(NOWHERE),
)
name_nodes = st.builds(ast.Name, names, st.just(NOWHERE))
index_nodes = st.builds(ast.Index, index_names, st.just(NOWHERE))


def _grown(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(ast.Access, names, several, st.just(NOWHERE)),
        st.builds(ast.Call, functions, several, st.just(NOWHERE)),
        st.builds(ast.Unary, st.sampled_from("-~"), inner, st.just(NOWHERE)),
        st.builds(ast.Binary, st.sampled_from(BINARY), inner, inner, st.just(NOWHERE)),
        st.builds(ast.Binary, st.sampled_from(BINARY), inner, inner, st.just(NOWHERE)),
        st.builds(ast.Conditional, inner, inner, inner, st.booleans(), st.just(NOWHERE)),
    )


exprs: st.SearchStrategy[ast.Expr] = st.recursive(
    st.one_of(ints, floats, name_nodes, index_nodes), _grown, max_leaves=8
)
_some = st.lists(exprs, min_size=1, max_size=3).map(tuple)


@st.composite
def _triples(draw: st.DrawFn) -> ast.Expr:
    test = draw(exprs)
    if isinstance(test, ast.Binary) and test.op in "+*":
        test = ast.Binary("==", test.left, test.right, NOWHERE)  # the parser reads them so
    return ast.Conditional(test, draw(exprs), None, draw(st.booleans()), NOWHERE)


attributes = st.lists(
    st.builds(
        ast.Attribute,
        index_names,
        st.lists(st.one_of(names, index_names), max_size=2).map(tuple),
        st.just(NOWHERE),
    ),
    max_size=2,
).map(tuple)


@st.composite
def contractions(draw: st.DrawFn) -> ast.Contraction:
    indices = draw(st.one_of(st.just(()), _some))
    sizes = draw(st.one_of(st.none(), _some)) if indices else ()
    return ast.Contraction(
        draw(names),
        indices,
        sizes,
        draw(st.sampled_from(list(Aggregation))),
        draw(st.one_of(exprs, exprs, _triples())),
        draw(
            st.lists(st.builds(ast.Constraint, exprs, exprs, st.just(NOWHERE)), max_size=2).map(
                tuple
            )
        ),
        draw(st.none() | name_nodes),
        draw(st.booleans()),
        draw(attributes),
        NOWHERE,
        NOWHERE,
    )


assignments = st.builds(ast.Assignment, names, exprs, attributes, st.just(NOWHERE))
inputs = st.builds(
    ast.InputDecl,
    names,
    st.none() | st.lists(st.one_of(ints, name_nodes), max_size=3).map(tuple),
    st.none() | st.sampled_from(sorted(BY_NAME)),
    st.just(NOWHERE),
)
function_nodes = st.builds(
    ast.Function,
    st.none() | functions,
    st.lists(inputs, max_size=3).map(tuple),
    st.lists(name_nodes, min_size=1, max_size=2).map(tuple),
    st.lists(st.one_of(contractions(), assignments), max_size=4).map(tuple),
    st.just(False),
    st.just(NOWHERE),
)
files = st.builds(
    ast.File, st.lists(function_nodes, min_size=1, max_size=3).map(tuple), st.just(NOWHERE)
)


def prefix(expr: ast.Expr) -> str:
    """The expression with every operation in parentheses, operator first."""
    match expr:
        case ast.IntLiteral():
            return str(expr.value)
        case ast.FloatLiteral():
            return repr(expr.value)
        case ast.Name() | ast.Index():
            return expr.name
        case ast.Access():
            return f"{expr.name}[{', '.join(map(prefix, expr.indices))}]"
        case ast.Call():
            return f"({' '.join([expr.function, *map(prefix, expr.args)])})"
        case ast.Unary():
            return f"({expr.op} {prefix(expr.arg)})"
        case ast.Binary():
            return f"({expr.op} {prefix(expr.left)} {prefix(expr.right)})"
        case ast.Conditional():
            parts = [p for p in (expr.test, expr.then, expr.otherwise) if p is not None]
            return f"({' '.join(['?', *map(prefix, parts)])})"
