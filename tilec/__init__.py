"""tilec: kernels from tensor mathematics written in the Tile language.

matmul = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
C = matmul(A, B)
"""

from tilec.errors import (
    ArgumentError,
    BoundsError,
    CacheError,
    GradientError,
    InternalError,
    LimitError,
    NameResolutionError,
    OutOfMemoryError,
    ScheduleError,
    ShapeError,
    TargetError,
    TilecError,
    TilecWarning,
    TileSyntaxError,
    TileTypeError,
    UserError,
)
from tilec.options import Options
from tilec.program.backward import gradients
from tilec.program.check_grad import check_grad
from tilec.program.executable import Executable, load
from tilec.program.function import Function, function
from tilec.program.gradients import TieRule, grad, jvp, value_and_grad
from tilec.program.link import Linked
from tilec.program.opened import OpenExecutable
from tilec.program.placed import array
from tilec.program.progress import progress
from tilec.program.ruled import with_pullback
from tilec.program.targets import TargetInfo, devices, targets
from tilec.program.tensor import Tensor, apply, evaluate, placeholder, tensor
from tilec.program.trace import compile, trace
from tilec.program.tuned import TunedKernel, Tuning
from tilec.program.tuning import tune
from tilec.program.vjp import Keep, Pullback, vjp
from tilec.runtime.backend import DeviceInfo
from tilec.runtime.device import DeviceArray
from tilec.runtime.spec import OpenSpec, Spec
from tilec.runtime.stored import Stored, StoredFile
from tilec.schedule.fourier import FourierPlan
from tilec.schedule.values import Loops, Plan, Schedule, Streamed, Tiled
from tilec.schedule.winograd import WinogradPlan
from tilec.version import __version__

__all__ = [
    "ArgumentError",
    "BoundsError",
    "CacheError",
    "DeviceArray",
    "DeviceInfo",
    "Executable",
    "FourierPlan",
    "Function",
    "GradientError",
    "InternalError",
    "Keep",
    "LimitError",
    "Linked",
    "Loops",
    "NameResolutionError",
    "OpenExecutable",
    "OpenSpec",
    "Options",
    "OutOfMemoryError",
    "Plan",
    "Pullback",
    "Schedule",
    "ScheduleError",
    "ShapeError",
    "Spec",
    "Stored",
    "StoredFile",
    "Streamed",
    "TargetError",
    "TargetInfo",
    "Tensor",
    "TieRule",
    "TileSyntaxError",
    "TileTypeError",
    "TilecError",
    "TilecWarning",
    "Tiled",
    "TunedKernel",
    "Tuning",
    "UserError",
    "WinogradPlan",
    "__version__",
    "apply",
    "array",
    "check_grad",
    "compile",
    "devices",
    "evaluate",
    "function",
    "grad",
    "gradients",
    "jvp",
    "load",
    "placeholder",
    "progress",
    "targets",
    "tensor",
    "trace",
    "tune",
    "value_and_grad",
    "vjp",
    "with_pullback",
]
