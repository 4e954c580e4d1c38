"""Programs with tokens exchanged: whatever comes out, only the error tree is raised."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.errors.test_check_errors import CASES as CHECK_CASES
from tests.errors.test_contraction_errors import CASES as CONTRACTION_CASES
from tests.errors.test_lower_errors import CASES as LOWER_CASES
from tests.lang.test_lower import IDIOMS
from tests.lang.test_lower_builtins import CALLS
from tilec.dtypes import ALL
from tilec.errors import UserError
from tilec.lang.builtins import BUILTINS
from tilec.lang.check import Checked, check_file
from tilec.lang.lint import lint
from tilec.lang.lower import lower
from tilec.lang.parse import parse
from tilec.source import Source
from tilec.tensor.ir import TensorType
from tilec.tensor.verify import verify

_TOKEN = re.compile(r"[A-Za-z_$#][A-Za-z0-9_]*'?|[0-9.]+|\s+|[-=!<>]+|.", re.DOTALL)


def _tokens(text: str) -> list[str]:
    return [match.group() for match in _TOKEN.finditer(text)]


_TEXTS = [
    *(idiom.text for idiom in IDIOMS),
    *(case.text.replace("§", "") for case in (*CHECK_CASES, *CONTRACTION_CASES, *LOWER_CASES)),
    CALLS + "function (A[M, N], S) -> (C, H) { C = center(A * 2); H = window(A, half(S)); }",
]
_PROGRAMS = [_tokens(text) for text in dict.fromkeys(_TEXTS)]


def _class(token: str) -> str:
    """Tokens of one class stand for one another without making a syntax error."""
    if token in ("function", "default", "no_defract"):
        return token
    if token[0].isalpha():
        return "name" if token[0].isupper() else "index" if len(token) == 1 else "function name"
    return "number" if token[0].isdigit() else "mark"


_CLASSES: dict[str, list[str]] = {"function name": list(BUILTINS)}
for _program in _PROGRAMS:
    for _each in _program:
        if not _each.isspace() and _each not in _CLASSES.setdefault(_class(_each), []):
            _CLASSES[_class(_each)].append(_each)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    tokens = list(draw(st.sampled_from(_PROGRAMS)))
    for _ in range(draw(st.integers(1, 4))):
        places = [at for at, token in enumerate(tokens) if not token.isspace()]
        at = draw(st.sampled_from(places))
        tokens[at] = draw(st.sampled_from(_CLASSES[_class(tokens[at])]))
    return "".join(tokens)


_SIZES = st.sampled_from([0, 1, 2, 3, 5])


def _bind(checked: Checked, data: st.DataObject) -> None:
    types: dict[str, TensorType] = {}
    values: dict[str, int | float] = {}
    sizes = {name: data.draw(_SIZES) for name in checked.size_names}
    for fact in checked.inputs:
        if fact.is_bind_scalar:
            values[fact.name] = data.draw(st.sampled_from([-1, 0, 1, 2, 3, 2.5]))
            continue
        dtype = fact.dtype or data.draw(st.sampled_from(ALL))
        types[fact.name] = TensorType(dtype, _shape(fact.dims, fact.rank, sizes, data))
    program = lower(checked, types, values)
    verify(program)
    lint(checked, program, values)


def _shape(
    dims: Sequence[object] | None, rank: int | None, sizes: dict[str, int], data: st.DataObject
) -> tuple[int, ...]:
    if dims is None:
        rank = data.draw(st.integers(0, 3)) if rank is None else rank
        return tuple(data.draw(_SIZES) for _ in range(rank))
    named = [getattr(dim, "name", None) for dim in dims]
    literal = [getattr(dim, "value", 0) for dim in dims]
    return tuple(
        sizes[name] if isinstance(name, str) else int(value)
        for name, value in zip(named, literal, strict=True)
    )


def _error(text: str, data: st.DataObject) -> UserError | None:
    try:
        for checked in check_file(parse(Source("mutated.tile", text))):
            _bind(checked, data)
    except UserError as error:
        return error
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=_mutated(), data=st.data())
def test_only_the_error_tree_is_raised(text: str, data: st.DataObject) -> None:
    error = _error(text, data)
    for each in () if error is None else error.all():
        assert each.span is not None
        assert "\n" not in each.message
        assert each.render()
