"""Recognises convolutions with stride 1, whatever their indices are called and however they lie.

``O[.. y .. f ..] = +(X[.. y + i + p .. c ..] * W[.. i .. c .. f ..])`` has one index of channels,
in both factors and not in the output; one of filters, in the output and the weights; any number of
windows, of a tap and an output index each; and batch indices, in the output and the data. In a
depthwise convolution one index is channel and filter, in the output and both factors. A tap that
runs backwards is a window whose weights are read in reverse. A gradient by the data writes
``DX[.. y + i - 1 ..]``: put in terms of the output coordinate, that is such a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from tilec.dtypes import F32, F64, DType
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, TensorType
from tilec.tensor.scalar import Apply, Read, at_indices, reads
from tilec.tensor.size import concrete
from tilec.tensor.tiling import TileAxis


@dataclass(frozen=True, slots=True)
class Window:
    """An output axis of a convolution and the taps that are summed along it.

    Attributes:
        index: Index of the output.
        tap: Index of the weights; None along a batch axis.
        taps: Number of taps; 1 along a batch axis.
        value: The tap as an index expression of its number.
        offset: Where in the data the window of output element 0 begins.
        extent: Elements of the output axis.
        data_extent: Elements of the data along it.
        output_at: Position among the axes of the output.
        data_at: Position among the axes of the data.
    """

    index: str
    tap: str | None
    taps: int
    value: Affine
    offset: int
    extent: int
    data_extent: int
    output_at: int
    data_at: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with stride 1.

    Attributes:
        node: The contraction.
        data: How it reads the data.
        weights: How it reads the weights.
        dtype: Type of all values.
        windows: The axes of the output but that of the filters, in order.
        channel: Index of the channels.
        channels: Their number.
        filter: Index of the filters; that of the channels where each has a filter of its own.
        filters: Their number.
    """

    node: Contraction
    data: Read
    weights: Read
    dtype: DType
    windows: tuple[Window, ...]
    channel: str
    channels: int
    filter: str
    filters: int

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a filter of its own."""
        return self.channel == self.filter

    @property
    def channel_at(self) -> int:
        """Position of the channels among the axes of the data."""
        return self.data.access.index(Affine.index(self.channel))

    @property
    def filter_at(self) -> int:
        """Position of the filters among the axes of the output."""
        return self.node.output.index(Affine.index(self.filter))


def convolution_of(node: Contraction, types: Mapping[str, TensorType]) -> Convolution | str:
    """The convolution that a contraction is, or the reason why it is none.

    ``types`` has the types of the values it reads.
    """
    body, dtype = node.body, node.type.dtype
    if node.agg is not Aggregation.SUM or dtype not in (F32, F64) or body.dtype != dtype:
        return "not a sum of f32 or f64 values"
    if not isinstance(body, Apply) or body.op != "mul":
        return "not a sum of products"
    if node.constraints or node.default is not None:
        return "constraints, or a default"
    factors = [each for each in body.args if isinstance(each, Read) and each.dtype == dtype]
    if len(factors) != 2 or len(body.args) != 2:
        return "not a product of two tensors"
    node = _by_output(node, factors, types)
    outputs = _names(node.output)
    if outputs is None:
        return "an output that is not one index per axis"
    factors = list(reads(node.body))
    found = [_read_as(node, types, outputs, data, weights) for data, weights in _orders(factors)]
    return next((each for each in found if not isinstance(each, str)), found[0])


def _orders(factors: list[Read]) -> list[tuple[Read, Read]]:
    first, second = factors
    return [(first, second), (second, first)]


def _names(access: tuple[Affine, ...]) -> tuple[str, ...] | None:
    """The indices that coordinates are, each on its own; None when one is anything else."""
    names = tuple(form.indices[0] if len(form.indices) == 1 else "" for form in access)
    plain = all(form == Affine.index(name) for name, form in zip(names, access, strict=True))
    return names if plain and len(set(names)) == len(names) else None


def _by_output(
    node: Contraction, factors: list[Read], types: Mapping[str, TensorType]
) -> Contraction:
    """The same contraction with one index for each output coordinate, where there can be one.

    Of ``O[y + i - 1]`` the longest index is replaced, y by o - i + 1. The points stay the same: the
    accesses, in which it is replaced, are what bounds it.
    """
    extents = {
        form.indices[0]: extent
        for read in factors
        for form, extent in zip(read.access, concrete(types[read.tensor].shape), strict=True)
        if len(form.indices) == 1 and form == Affine.index(form.indices[0])
    }
    values: dict[str, Affine] = {}
    output = list(node.output)
    for at, form in enumerate(node.output):
        terms, _ = form.rational()
        plain = len(terms) == 1 and form == Affine.index(*terms)
        others = (*output[:at], *output[at + 1 :])
        elsewhere = {name for each in others for name in each.indices}
        free = [n for n in terms if abs(terms[n]) == 1 and n in extents and n not in elsewhere]
        if plain or not free:
            continue
        longest = max(free, key=lambda name: (extents[name], name))
        output[at] = coordinate = Affine.index(f"_o{at}")  # as no index of a program is called
        rest = form - Affine(((longest, terms[longest]),))
        values[longest] = (coordinate - rest) * (1 / terms[longest])
    indices = (name for name in node.indices if name not in values)
    added = (form.indices[0] for form in output if form not in node.output)
    return replace(
        node,
        indices=(*added, *indices),
        output=tuple(output),
        body=at_indices(node.body, values),
    )


def _read_as(
    node: Contraction,
    types: Mapping[str, TensorType],
    outputs: tuple[str, ...],
    data: Read,
    weights: Read,
) -> Convolution | str:
    """The convolution in which ``data`` slides under ``weights``."""
    sizes = dict(zip(outputs, concrete(node.type.shape), strict=True))
    shape = concrete(types[data.tensor].shape)
    filters: list[tuple[str, int]] = []
    channels: list[tuple[str, int]] = []
    own: list[tuple[str, int]] = []
    taps: dict[str, tuple[Affine, int]] = {}
    seen = {name for form in data.access for name in form.indices}
    for form, extent in zip(weights.access, concrete(types[weights.tensor].shape), strict=True):
        if len(form.indices) != 1:
            return "weights that are not read at one index per axis"
        (name,) = form.indices
        plain = form == Affine.index(name)
        if name in sizes and name not in seen and plain and sizes[name] == extent:
            filters.append((name, extent))
        elif name in sizes and plain and form in data.access and sizes[name] == extent:
            own.append((name, extent))
        elif name in sizes or name in taps:
            return f"the index {name} of the output is among those of both factors"
        elif plain and Affine.index(name) in data.access:
            channels.append((name, extent))
        else:
            taps[name] = form, extent
    if own and (filters or channels):
        return f"the index {own[0][0]} of the output is among those of both factors"
    if own:
        filters = channels = own
    if len(filters) != 1 or len(channels) != 1:
        return "not one index of channels and one of filters"
    windows: list[Window] = []
    for at, (form, extent) in enumerate(zip(data.access, shape, strict=True)):
        if form == Affine.index(channels[0][0]):
            if extent != channels[0][1]:
                return "channels of two numbers"
            continue
        window = _window(form, extent, at, outputs, sizes, taps)
        if isinstance(window, str):
            return window
        windows.append(window)
    if all(window.tap is None for window in windows):
        return "no window slides"
    windows.sort(key=lambda window: window.output_at)
    used = {window.index for window in windows} | {filters[0][0], channels[0][0]}
    used |= {window.tap for window in windows if window.tap is not None}
    if used != set(node.indices) or len(windows) + 1 != len(outputs):
        return "an index that is summed over, or read, in another way"
    return Convolution(
        node, data, weights, node.type.dtype, tuple(windows), *channels[0], *filters[0]
    )


def _window(
    form: Affine,
    extent: int,
    at: int,
    outputs: tuple[str, ...],
    sizes: Mapping[str, int],
    taps: Mapping[str, tuple[Affine, int]],
) -> Window | str:
    """The window that slides along an axis of the data."""
    terms, const = form.rational()
    places = [name for name in terms if name in sizes]
    others = [name for name in terms if name not in sizes]
    strange = len(places) != 1 or len(others) > 1 or const.denominator != 1
    if strange or terms[places[0]] != 1 or any(name not in taps for name in others):
        return "a window with a stride, or of an unknown form"
    index = places[0]
    place = outputs.index(index)
    if not others:
        if const != 0 or extent != sizes[index]:
            return "a batch index that does not run over the whole axis"
        return Window(index, None, 1, Affine(), 0, sizes[index], extent, place, at)
    (tap,) = others
    read, count = taps[tap]
    read_terms, start = read.rational()
    sign, step = terms[tap], read_terms[tap]
    if abs(sign) != 1 or abs(step) != 1 or start.denominator != 1:
        return "a window with a dilation"
    # The number w of a tap counts along the data: w = step * tap + start, or backwards.
    forwards = sign * step == 1
    number = Affine(((tap, Fraction(1)),))
    weight = number if forwards else number * -1 + Affine.number(count - 1)
    value = (weight + Affine.number(-int(start))) * int(step)
    begin = const + sign * step * (-start if forwards else count - 1 - start)
    return Window(index, tap, count, value, int(begin), sizes[index], extent, place, at)


def tile_axes(conv: Convolution, outputs: Sequence[int]) -> tuple[TileAxis, ...]:
    """The axes of the output cut into tiles of some outputs, one number per sliding window."""
    sizes = iter(outputs)
    return tuple(
        TileAxis(
            window.extent,
            window.data_extent,
            window.offset,
            window.output_at,
            window.data_at,
            1 if window.tap is None else next(sizes),
            window.taps,
        )
        for window in conv.windows
    )
