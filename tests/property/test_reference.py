"""Random programs through the front end and the reference evaluator."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from tests.property.facts import Fact
from tests.property.programs import RANDOM, Array, Case, cases
from tests.property.tolerance import assert_close
from tilec.lang.check import check_file
from tilec.lang.lower.program import lower
from tilec.lang.parse import parse
from tilec.runtime.arrays import tile_dtype
from tilec.source import Source
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.numpy_ops import storage
from tilec.tensor.printer import print_program
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify


def lowered(case: Case) -> Program:
    """The tensor IR of a case."""
    types: dict[str, TensorType] = {}
    for name, array in case.arrays.items():
        dtype = tile_dtype(array.dtype)
        assert dtype is not None
        types[name] = TensorType(dtype, array.shape)
    return lower(check_file(parse(Source("<property>", case.text)))[-1], types)


def check_against(values: Array, fact: Fact) -> None:
    """Finite values lie in the range that was predicted."""
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    slack = 2 * fact.error + 1e-9 * max(1.0, fact.bound)
    assert (finite >= fact.low - slack).all()
    assert (finite <= fact.high + slack).all()
    if fact.grain is not None and fact.dtype.is_float:
        scaled = finite * 2.0**fact.grain
        assert (scaled == np.rint(scaled)).all()
    if not fact.special and fact.dtype.is_float:
        assert not np.isinf(wide).any()


@settings(RANDOM, max_examples=100)
@given(cases())
def test_random_programs_have_the_values_that_were_predicted(case: Case) -> None:
    program = lowered(case)
    verify(program)
    assert print_program(program) == print_program(lowered(case))
    results = evaluate(program, case.arrays)
    assert list(results) == list(case.facts)
    types = program.types()
    for output in program.outputs:
        fact, value = case.facts[output.name], results[output.name]
        assert types[output.value].dtype == fact.dtype
        assert value.dtype == storage(fact.dtype)
        assert value.shape == concrete(types[output.value].shape)
        check_against(value, fact)
        assert_close(value, value, fact.dtype)
