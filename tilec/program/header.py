"""What a caller may know about a function without compiling it: its inputs and outputs."""

from __future__ import annotations

from tilec.dtypes import BY_NAME, DType
from tilec.errors import CacheError
from tilec.records import dataclass
from tilec.runtime.container import Manifest, field, items, objects, strings


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of a function.

    Attributes:
        name: Its name in the text.
        dims: A size name or a literal size for each axis; None when any rank is accepted.
        dtype: The element type that the header demands, or None.
        specialised: True when it is a number that the program uses as a size or in an index
            expression. Code is compiled for each value, as it is for each shape.
    """

    name: str
    dims: tuple[str | int, ...] | None
    dtype: DType | None
    specialised: bool

    def __str__(self) -> str:
        dims = "" if self.dims is None else f"[{', '.join(map(str, self.dims))}]"
        return f"{self.name}{dims}" + ("" if self.dtype is None else f": {self.dtype}")


@dataclass(frozen=True, slots=True)
class Header:
    """Name, inputs and outputs of a function, and its canonical text."""

    name: str | None
    inputs: tuple[Parameter, ...]
    outputs: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        return f"{self.name or 'function'}({inputs}) -> ({', '.join(self.outputs)})"


def header_to_manifest(header: Header) -> Manifest:
    """The header in the form of a manifest."""
    return {
        "name": header.name or "",
        "inputs": [
            {
                "name": given.name,
                "dims": None if given.dims is None else list(given.dims),
                "dtype": "" if given.dtype is None else given.dtype.name,
                "specialised": given.specialised,
            }
            for given in header.inputs
        ],
        "outputs": list(header.outputs),
        "text": header.text,
    }


def header_from_manifest(manifest: Manifest) -> Header:
    """The header that ``header_to_manifest`` wrote.

    Raises:
        CacheError: it is something else.
    """
    return Header(
        name=field(manifest, "name", str) or None,
        inputs=tuple(_parameter(item) for item in objects(manifest, "inputs")),
        outputs=strings(manifest, "outputs"),
        text=field(manifest, "text", str),
    )


def _parameter(item: Manifest) -> Parameter:
    spelled = field(item, "dtype", str)
    if spelled not in ("", *BY_NAME):
        raise CacheError(f"it has an input of unknown dtype {spelled!r}")
    return Parameter(
        name=field(item, "name", str),
        dims=_dims(item),
        dtype=BY_NAME.get(spelled),
        specialised=field(item, "specialised", bool),
    )


def _dims(item: Manifest) -> tuple[str | int, ...] | None:
    if item.get("dims") is None:
        return None
    found: list[str | int] = []
    for dim in items(item, "dims"):
        if not isinstance(dim, str | int):
            raise CacheError("it has an input with a wrong size")
        found.append(dim)
    return tuple(found)
