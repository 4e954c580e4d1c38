"""Where the calibration of this machine is kept: beside the disk cache, private like that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tilec.errors import CacheError, TargetError
from tilec.runtime.cache import cache_folder
from tilec.runtime.folder import open_folder
from tilec.target.calibration import Calibration, from_json, machine_key
from tilec.target.host import host

_FOLDER: Final = "calibration"


def folder() -> Path | None:
    """Where calibrations are kept; None when ``TILEC_CACHE`` is off or the user has no home."""
    found = cache_folder()
    return None if found is None else found / _FOLDER


def stored() -> Calibration | None:
    """The calibration of this machine; None when there is none that can be read."""
    where = folder()
    if where is None or not where.is_dir():
        return None
    try:
        with open_folder(where, create=False) as opened:
            data = opened.read(_name(), touch=False)
        return None if data is None else from_json(json.loads(data))
    except (OSError, ValueError, CacheError):  # as good as none: it can be measured again
        return None


def store(found: Calibration) -> Path | None:
    """Keep a calibration of this machine; returns the file, or None when nothing is kept.

    Raises:
        TargetError: the file cannot be written.
    """
    where = folder()
    if where is None:
        return None
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_folder(where, create=True) as opened:
            opened.write(_name(), [json.dumps(found.as_json(), indent=2).encode()])
    except OSError as error:
        raise TargetError(
            f"the calibration cannot be written to {where}: {error.strerror or error}",
            help="set TILEC_CACHE to a folder of your own",
        ) from error
    return where / _name()


def _name() -> str:
    return f"{machine_key(host())}.json"
