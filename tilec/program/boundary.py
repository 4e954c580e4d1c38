"""Where the compiler meets its callers: one lock around it, and one kind of exception out of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from tilec.errors import InternalError, TilecError
from tilec.options import read_environment
from tilec.version import __version__

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")

# isl's context and LLVM's are shared by the process, and neither may be used by two threads.
_lock = threading.RLock()


def compiler_lock() -> threading.RLock:
    """The lock that is held while anything is parsed, lowered or compiled."""
    return _lock


def _renew_lock() -> None:
    # Another thread may have held the lock at the fork; nobody in the child would release it.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def public(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Marks what callers call: they see an error of the tree, without the compiler's insides.

    Any other exception is a bug and becomes an ``InternalError``. With ``TILEC_DEBUG`` the
    traceback stays as it is.
    """

    @wraps(function)
    def guarded(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except TilecError as error:
            if _debugging():
                raise
            raise error.with_traceback(None) from None
        except (Warning, MemoryError):
            raise  # a warning that the caller turned into an error is not a bug
        except Exception as error:
            raise InternalError(
                f"{type(error).__name__} in tilec {__version__}: {error}"
            ) from error

    return guarded


def _debugging() -> bool:
    try:
        return read_environment().debug
    except TilecError:  # a variable that cannot be read is reported by whoever needs it
        return False
