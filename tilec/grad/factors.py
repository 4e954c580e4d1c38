"""Values whose derivative is scaled: ``reverse_grad`` and ``builtin_binary_crossentropy``.

The lowering leaves an attribute with the factor, a number or the name of a value, at their maps.
"""

from __future__ import annotations

from typing import Final

from tilec.dtypes import F32, I32
from tilec.grad.rules import div, mul, neg
from tilec.grad.tape import Tape
from tilec.records import dataclass
from tilec.tensor.ir import Map
from tilec.tensor.scalar import Literal, Scalar

REVERSED: Final = "reverse_grad"
CROSSENTROPY: Final = "binary_crossentropy"


@dataclass(frozen=True, slots=True)
class Factor:
    """What the derivative of a statement is multiplied by.

    Attributes:
        kind: ``reverse_grad``, ``binary_crossentropy``, or nothing.
        value: The factor; None for an ordinary statement.
    """

    kind: str = ""
    value: Scalar | None = None

    def backward(self, seed: Scalar) -> Scalar | None:
        """The cotangent that the body receives; None for none at all."""
        if self.value is None:
            return seed
        if self.kind == CROSSENTROPY:
            return div(seed, self.value)
        if isinstance(self.value, Literal) and self.value.value == 0:
            return None
        return neg(mul(seed, self.value))


def factor_of(node: Map, tape: Tape) -> Factor:
    """The factor that an attribute of a statement tells."""
    for attribute in node.attributes:
        if attribute.name in (REVERSED, CROSSENTROPY) and attribute.args:
            spelled = attribute.args[0]
            if spelled in tape.types:
                return Factor(attribute.name, tape.element(spelled, node.type.shape))
            return Factor(attribute.name, number(spelled))
    return Factor()


def number(spelled: str) -> Literal:
    """The literal that an attribute spells."""
    value = float(spelled)
    if value.is_integer() and "." not in spelled:
        return Literal(int(value), I32)
    return Literal(value, F32)
