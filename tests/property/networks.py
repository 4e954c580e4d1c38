"""A hypothesis strategy for small networks over images, with their channels first or last."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from hypothesis import strategies as st

KINDS = (
    *["pointwise"] * 6,
    *["window", "depthwise", "sum", "bias", "bias", "join", "join"],
    *["+", "+", "-", "*"],
)
"""Layers of random networks."""


@dataclass(frozen=True, slots=True)
class Network:
    """Layers over one image, and the shapes of its inputs; the first one is the image."""

    text: str
    shapes: dict[str, tuple[int, ...]]


@dataclass(slots=True)
class Layers:
    """Writes a network layer by layer, with the channels of an image first or last."""

    images: int
    size: tuple[int, int]
    is_first: bool
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    channels: dict[str, int] = field(default_factory=dict[str, int])
    lines: list[str] = field(default_factory=list[str])

    def order(self, channel: object, y: object, x: object, n: object = "n") -> str:
        """Indices or sizes in the order of the layout."""
        picked = (n, channel, y, x) if self.is_first else (n, y, x, channel)
        return ", ".join(map(str, picked))

    def made(self) -> list[str]:
        """The values so far."""
        return list(self.channels)[1:]

    def unread(self) -> list[str]:
        """Those that nothing reads."""
        return [name for name in self.made() if sum(name in line for line in self.lines) == 1]

    def define(self, channels: int, value: str, index: str = "f") -> None:
        """An image of sums over what is not on the left."""
        name = f"T{len(self.lines)}_"
        sizes = self.order(channels, *self.size, self.images)
        self.lines.append(f"{name}[{self.order(index, 'y', 'x')} : {sizes}] = +({value});")
        self.channels[name] = channels

    def weights(self, *shape: int) -> str:
        """A new input."""
        name = f"W{len(self.shapes)}"
        self.shapes[name] = shape
        return name

    def add(self, kind: str, source: str, other: str, filters: int) -> None:
        """One more layer; ``other`` has as many channels as ``source``."""
        c = self.channels[source]
        window = self.order("c", "y + i - 1", "x + j - 1")
        match kind:
            case "pointwise":
                read = f"{source}[{self.order('c', 'y', 'x')}]"
                self.define(filters, f"{read} * {self.weights(filters, c)}[f, c]")
            case "window":
                read = f"{source}[{window}]"
                self.define(filters, f"{read} * {self.weights(filters, 3, 3, c)}[f, i, j, c]")
            case "depthwise":
                read = f"{source}[{window}]"
                self.define(c, f"{read} * {self.weights(c, 3, 3)}[c, i, j]", "c")
            case "sum":
                self.define(1, f"{source}[{self.order('c', 'y', 'x')}]", "0")
            case "join":
                self.join(source, other)
            case "bias":
                tail = ", 1, 1" if self.is_first else ""
                bias = f"reshape({self.weights(c)}, {c}{tail})"
                self.map(f"relu({source} + {bias})", c)
            case _:
                self.map(f"{source} {kind} {other}", c)

    def join(self, first: str, second: str) -> None:
        """The channels of one image behind those of another."""
        before, total = self.channels[first], self.channels[first] + self.channels[second]
        sizes = self.order(total, *self.size, self.images)
        name, own = f"T{len(self.lines)}_", self.order("c", "y", "x")
        at = self.order(f"c + {before}", "y", "x")
        self.lines.append(
            f"{name}P[{own} : {sizes}] = =({first}[{own}]); "
            f"{name}[{at} : {sizes}] = =({second}[{own}]) default {name}P;"
        )
        self.channels[name] = total

    def map(self, value: str, channels: int) -> None:
        """An image made of others, element by element."""
        name = f"T{len(self.lines)}_"
        self.lines.append(f"{name} = {value};")
        self.channels[name] = channels


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Layers that read the image or the latest results; what nothing reads is an output."""
    size = draw(st.sampled_from(((12, 12), (33, 5), (1, 150), (2, 6))))
    made = Layers(draw(st.sampled_from((1, 1, 2))), size, draw(st.booleans()))
    widths = st.sampled_from((17, 40, 64) if prod(size) > 100 else (17, 192, 256, 304))
    few = draw(st.lists(widths, min_size=2, max_size=2))
    channels = draw(st.sampled_from(few))
    made.shapes["X"] = tuple(map(int, made.order(channels, *size, made.images).split(",")))
    made.channels["X"] = channels
    for _ in range(draw(st.integers(3, 5))):
        kind = draw(st.sampled_from(KINDS))
        source = draw(st.sampled_from((*made.unread()[-2:], "X")))
        alike = [
            name
            for name in (*made.unread(), "X")
            if made.channels[name] in (1, made.channels[source]) and name != source
        ]
        if kind in "+-*" and not alike:
            kind = "pointwise"
        if kind == "join":
            alike = [name for name in (*made.unread(), *made.made(), "X") if name != source]
        other = draw(st.sampled_from(alike)) if alike else source
        made.add(kind, source, other, draw(st.sampled_from(few)))
    outputs = {*made.unread(), *draw(st.sets(st.sampled_from(made.made()), max_size=1))}
    heads = ", ".join(f"{name}[{', '.join(map(str, of))}]" for name, of in made.shapes.items())
    body = "\n  ".join(made.lines)
    return Network(
        f"function ({heads}) -> ({', '.join(sorted(outputs))}) {{\n  {body}\n}}", made.shapes
    )
