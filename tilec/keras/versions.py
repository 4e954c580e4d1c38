"""What depends on the version of Keras: which modules choose a backend, and what they need of one.

Keras 3.15 names its backends in chains such as ``if backend() == "tensorflow": ... elif ...``, one
in each module below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tilec.records import dataclass

BACKEND: Final = "tilec"
"""The name of this backend in Keras."""

SUPPORTED: Final = "3.15"
"""The versions of Keras, without their last number."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What a module of Keras does when the backend is tilec.

    Attributes:
        code: The statements of this arm.
        others: Two backends whose arms tell the chain from any other in the module.
    """

    code: str
    others: tuple[str, str] = ("tensorflow", "numpy")


ARMS: Final[Mapping[str, Arm]] = {
    "keras.src.backend": Arm(
        "from keras_tilec.flat import *\n"
        "from keras_tilec.flat import Variable as BackendVariable\n"
        "distribution_lib = None\n"
    ),
    "keras.src.layers.layer": Arm("from keras_tilec.src.layer import BackendLayer\n"),
    "keras.src.models.model": Arm("from keras_tilec.src.trainer import Trainer\n"),
    "keras.src.export.saved_model": Arm(
        "from keras_tilec.src.export import SavedModelExportArchive as "
        "BackendSavedModelExportArchive\n"
    ),
    "keras.src.trainers.trainer_test": Arm("from keras_tilec.src.trainer import Trainer\n"),
}
"""The modules whose chains get an arm for tilec."""

DYNAMIC: Final = "keras.src.utils.backend_utils"
"""The module of ``DynamicBackend``, which looks functions up by the name of a backend."""


def teach_dynamic_backend(module: Any) -> None:
    """Let ``DynamicBackend`` know tilec; for an unknown name it would find None everywhere."""
    dynamic = module.DynamicBackend
    find, choose = dynamic.__getattr__, dynamic.set_backend

    def look_up(self: Any, name: str) -> Any:
        if self.__dict__.get("_backend") != BACKEND:
            return find(self, name)
        if name.startswith("__") and name != "__name__":
            raise AttributeError(name)
        return getattr(module.backend_module, name)

    def set_backend(self: Any, backend: str) -> None:
        if backend == BACKEND:
            self._backend = backend
        else:
            choose(self, backend)

    dynamic.__getattr__, dynamic.set_backend = look_up, set_backend
