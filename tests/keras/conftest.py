"""Keras is imported with tilec as its backend, and leaves the user's files alone."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp

from tilec.keras import activate

# Keras reads this when it is imported, which is before any fixture runs.
os.environ["KERAS_HOME"] = str(Path(mkdtemp(prefix="keras")) / "home")
activate()
import_module("keras")
