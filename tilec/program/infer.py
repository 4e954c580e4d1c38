"""Shapes and dtypes of the results of a function, without compiling it.

A fresh process that builds a known network asks this for every operation of it, so the answers are
kept on disk beside the code: then neither the parser nor isl is loaded.
"""

from __future__ import annotations

from tilec.dtypes import BY_NAME
from tilec.errors import CacheError
from tilec.options import Options
from tilec.program.frontend import COMPILER_PACKAGES
from tilec.program.function import Function
from tilec.runtime.cache import digest, disk_cache
from tilec.runtime.container import Manifest, field, items, objects
from tilec.runtime.spec import Spec
from tilec.runtime.stamp import source_stamp
from tilec.version import __version__


def infer(function: Function) -> tuple[Spec, ...]:
    """Type of each output of a function whose header gives all sizes and dtypes.

    Raises:
        UserError: something in it does not fit together.
    """
    text, cache = function.parts.text, disk_cache()
    if cache is None:
        return _bound(function)
    stamp = source_stamp(*COMPILER_PACKAGES)
    key = digest("types", __version__, stamp, text.wanted or "", text.source.text)
    kept = cache.get(key)
    if kept is not None:
        try:
            return tuple(map(_spec, objects(kept.manifest, "outputs")))
        except CacheError as error:
            cache.drop(key, error.message)
    found = _bound(function)
    outputs = [{"dtype": spec.dtype.name, "shape": list(spec.shape)} for spec in found]
    cache.put(key, {"outputs": outputs}, {})
    return found


def _bound(function: Function) -> tuple[Spec, ...]:
    from tilec.program.compile import bound_program  # loads the parser and isl
    from tilec.tensor.size import concrete

    text = function.parts.text
    program = bound_program(text, function.recipe(*given_specs(function), options=Options()))
    types = program.types()
    kinds = [types[output.value] for output in program.outputs]
    return tuple(Spec(concrete(kind.shape), kind.dtype) for kind in kinds)


def given_specs(function: Function) -> tuple[Spec, ...]:
    """The types of the inputs of a function whose header gives all of them."""
    return tuple(
        Spec([size for size in each.dims or () if isinstance(size, int)], each.dtype or "f32")
        for each in function.inputs
    )


def _spec(item: Manifest) -> Spec:
    dtype = BY_NAME.get(field(item, "dtype", str))
    shape = items(item, "shape")
    if dtype is None or not all(type(size) is int and size >= 0 for size in shape):
        raise CacheError("it has a result of unknown type")
    return Spec([size for size in shape if isinstance(size, int)], dtype)
