"""A call whose arrays lie on a device: nothing is copied, and nobody waits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tilec.errors import ArgumentError, TileTypeError
from tilec.runtime.arrays import Array, end_to_end, take
from tilec.runtime.backend import DeviceMemory, DeviceRunner
from tilec.runtime.device import DeviceArray
from tilec.runtime.dispatch import MakeResult
from tilec.runtime.outputs import by_position
from tilec.runtime.spec import Spec


class DeviceCall:
    """A ``Call`` of generated code on the memory of a device.

    Arguments that are not there yet, numbers among them, are copied there for the call.
    """

    is_direct = False

    def __init__(
        self,
        runner: DeviceRunner,
        memory: DeviceMemory,
        *,
        inputs: Sequence[tuple[str, Spec]],
        order: Sequence[int],
        constants: Sequence[Array],
        outputs: Sequence[tuple[str, Spec]],
        make: MakeResult | None,
    ) -> None:
        """Prepare a call.

        Args:
            runner: Runs the code.
            memory: Where the arrays lie.
            inputs: Name and type of each argument.
            order: Positions of the arguments in the order in which the code takes them; those
                that it does not take are left out.
            constants: Arrays that follow them; they are brought to the device here.
            outputs: Name and type of each result.
            make: Makes the result of a call from several arrays; None for one array.
        """
        self._runner = runner
        self._memory = memory
        self._inputs = tuple(inputs)
        self._order = tuple(order)
        self._constants: list[object] = []
        for array in constants:
            held = memory.empty(end_to_end(array))
            memory.write(held, array)
            self._constants.append(held)
        self._outputs = tuple(outputs)
        self._make = make

    def fresh(self, values: tuple[object, ...]) -> object:
        """See ``Call``."""
        return None

    def fill(self, values: tuple[object, ...], out: object) -> bool:
        """See ``Call``."""
        return False

    def __call__(self, values: tuple[object, ...]) -> object:
        """Begin to run; the results are arrays on the device."""
        memory = self._memory
        inputs = self._taken(values)
        outputs = [memory.empty(spec) for _, spec in self._outputs]
        self._runner.begin(inputs, outputs)
        results = [
            DeviceArray(memory, spec, held)
            for (_, spec), held in zip(self._outputs, outputs, strict=True)
        ]
        return results[0] if self._make is None else self._make(*results)

    def write(self, values: tuple[object, ...], out: object) -> bool:
        """Begin to run into arrays of the device.

        Raises:
            UserError: one of them does not fit; nothing was written then.
        """
        inputs = self._taken(values)
        given = by_position(out, [name for name, _ in self._outputs])
        outputs: list[object] = []
        for (name, value), (wanted, spec) in zip(given, self._outputs, strict=True):
            held = self._destination(name, value, wanted, spec)
            if any(held is other for other in (*inputs, *outputs)):
                raise ArgumentError(
                    f"{name} shares memory with another array of the call",
                    help="results are written while inputs are still read; pass another array",
                )
            outputs.append(held)
        self._runner.begin(inputs, outputs)
        return True

    def _taken(self, values: Sequence[object]) -> list[object]:
        """The memory of each argument that the code takes, then of the constants."""
        found: list[object] = []
        for at in self._order:
            value = values[at]
            if isinstance(value, DeviceArray):
                found.append(value.held)
                continue
            name, spec = self._inputs[at]
            array = np.ascontiguousarray(take(name, value, spec.dtype))
            found.append(self._memory.lend(array))
        return found + self._constants

    def _destination(self, name: str, value: object, wanted: str, spec: Spec) -> object:
        if not isinstance(value, DeviceArray) or value.memory is not self._memory:
            place = value.device if isinstance(value, DeviceArray) else "the processor"
            raise ArgumentError(
                f"{name} lies on {place}, and the call runs on {self._memory.target}",
                help="pass an array of that device, or none and call numpy() on the result",
            )
        if value.shape != spec.shape:
            raise ArgumentError(
                f"{name} has shape {value.shape}, but {wanted} has shape {spec.shape}"
            )
        if value.spec.dtype != spec.dtype:
            raise TileTypeError(
                f"{name} has dtype {value.spec.dtype}, but {wanted} is {spec.dtype}"
            )
        return value.held
