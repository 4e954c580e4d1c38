"""A stamp of tilec's own source files, so that whoever edits tilec never meets stale code.

The stamp covers path, size and time of modification of each file, not the contents: it is taken
in every process, before the first look into the disk cache, and has to cost less than a
millisecond or two.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_SUFFIXES = (".py", ".lark", ".tile", ".ll", ".json", ".toml")


def source_stamp(*packages: str) -> str:
    """A digest over the files of some installed packages, taken once per process.

    Args:
        packages: Import names; the folder of each is searched. One that is not installed counts
            as empty.
    """
    return "-".join(_stamp(package) for package in packages)


@cache
def _stamp(package: str) -> str:
    digest = hashlib.sha256()
    for line in _describe(_folder(package)):
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _folder(package: str) -> Path | None:
    loaded = sys.modules.get(package)
    if loaded is not None and loaded.__file__ is not None:
        return Path(loaded.__file__).parent
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _describe(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    lines: list[str] = []
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    if item.name != "__pycache__":
                        pending.append(item.path)
                elif item.name.endswith(_SUFFIXES):
                    facts = item.stat()
                    path = item.path[len(str(folder)) :]
                    lines.append(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n")
    return sorted(lines)
