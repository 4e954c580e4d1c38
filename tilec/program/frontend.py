"""From a text to a checked function, as late as possible.

Most calls need the header alone, and the disk cache keeps the headers of texts that were found
right. So a fresh process that meets a known text loads neither the parser nor isl.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from tilec.errors import ArgumentError, CacheError, LimitError
from tilec.program.boundary import compiler_lock
from tilec.program.header import (
    Header,
    Parameter,
    header_from_manifest,
    header_to_manifest,
)
from tilec.runtime.cache import digest, disk_cache
from tilec.runtime.dispatch import Recent
from tilec.runtime.stamp import source_stamp
from tilec.source import Source
from tilec.version import __version__

if TYPE_CHECKING:
    from tilec.lang.checked import Checked, InputFact

_KEPT: Final = 256
_LONGEST_TEXT_BYTES: Final = 16 << 20

COMPILER_PACKAGES: Final = ("tilec", "tilec_grammar")
"""The packages whose source decides what comes out of a text, apart from the backend."""


class Frontend:
    """One function of one text.

    Attributes:
        source: The text.
        wanted: Name of the function that is meant, or None for the last of the text.
    """

    def __init__(self, source: Source, wanted: str | None) -> None:
        self.source = source
        self.wanted = wanted

    @cached_property
    def header(self) -> Header:
        """The header. Reading it for the first time parses and checks an unknown text."""
        cache = disk_cache()
        if cache is None:
            return self._header()
        key = digest(
            "header",
            __version__,
            source_stamp(*COMPILER_PACKAGES),
            self.wanted or "",
            self.source.text,
        )
        kept = cache.get(key)
        if kept is not None:
            try:
                return header_from_manifest(kept.manifest)
            except CacheError as error:
                cache.drop(key, error.message)
        header = self._header()
        cache.put(key, header_to_manifest(header), {})
        return header

    @cached_property
    def checked(self) -> Checked:
        """The function, parsed and checked."""
        from tilec.lang.check import check_file  # slow to import
        from tilec.lang.parse import parse

        with compiler_lock():
            functions = check_file(parse(self.source))
        if self.wanted is None:
            return functions[-1]
        for function in functions:
            if function.name == self.wanted:
                return function
        if len(functions) == 1 and functions[0].name is None:
            return functions[0]  # a text without names: the caller gives one
        names = ", ".join(function.name or "(no name)" for function in functions)
        raise ArgumentError(
            f"there is no function {self.wanted!r} in {self.source.name}",
            help=f"it has {names}",
        )

    def _header(self) -> Header:
        checked = self.checked
        return Header(
            name=self.wanted or checked.name,
            inputs=tuple(
                Parameter(
                    name=fact.name,
                    dims=_dims(fact),
                    dtype=fact.dtype,
                    specialised=fact.is_bind_scalar,
                )
                for fact in checked.inputs
            ),
            outputs=tuple(output.name for output in checked.function.outputs),
            text=canonical_text(checked),
        )


_frontends: Final[Recent[Frontend]] = Recent(_KEPT)


def frontend(source: Source, wanted: str | None) -> Frontend:
    """The function called ``wanted`` of a text; the same object for the same text and name."""
    key = (source.name, source.text, wanted)
    found = _frontends.get(key)
    if found is None:
        found = Frontend(source, wanted)
        _frontends.put(key, found)
    return found


def function_names(source: Source) -> tuple[str | None, ...]:
    """Names of the functions of a text, in order; None for one without a name.

    Raises:
        UserError: the text is wrong, in whichever function.
    """
    from tilec.lang.check import check_file
    from tilec.lang.parse import parse

    with compiler_lock():
        return tuple(function.name for function in check_file(parse(source)))


def read_source(given: object) -> Source:
    """The text that a caller gave, as a string, a ``Source`` or the path of a file.

    Raises:
        ArgumentError: it is none of these, or the file cannot be read.
    """
    if isinstance(given, str):
        return _limited(Source("<string>", given))
    if isinstance(given, Source):
        return _limited(given)
    if not isinstance(given, os.PathLike):
        raise ArgumentError(
            f"a Tile text is a string or a path, not a {type(given).__name__}",
            help="to read a file, pass a pathlib.Path",
        )
    path = Path(cast("os.PathLike[str]", given))
    try:
        if path.stat().st_size > _LONGEST_TEXT_BYTES:
            raise LimitError(f"{path} is too long for a Tile text")
        return Source(str(path), path.read_text("utf-8"))
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{path} is no text: it is not UTF-8") from error


def _limited(source: Source) -> Source:
    if len(source.text) > _LONGEST_TEXT_BYTES:
        raise LimitError(f"the Tile text {source.name} is too long")
    return source


def canonical_text(checked: Checked) -> str:
    """The function and all that it calls, in the order of the text."""
    from tilec.lang.printer import print_function

    found: dict[str, Checked] = {}
    pending = list(checked.callees.items())
    while pending:
        name, callee = pending.pop()
        if name not in found:
            found[name] = callee
            pending += callee.callees.items()
    functions = [*(callee.function for callee in found.values()), checked.function]
    functions.sort(key=lambda function: function.span.start)
    return "\n".join(print_function(function) for function in functions)


def _dims(fact: InputFact) -> tuple[str | int, ...] | None:
    if fact.dims is None:
        return None
    from tilec.lang import ast

    return tuple(dim.name if isinstance(dim, ast.Name) else dim.value for dim in fact.dims)
