"""The hook: an installed Keras takes tilec for a backend, and its files stay as they are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from tests.keras.host import backend, keras, layers, utils
from tilec.keras import _hook
from tilec.keras.versions import ARMS, DYNAMIC

ROOT = Path(__file__).parents[2]


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    found = [str(ROOT / part) for part in ("", "grammar", "backends", "frontends")]
    program = f"import sys; sys.path[:0] = {found!r}\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_keras_runs_on_tilec() -> None:
    assert keras.config.backend() == "tilec"
    assert backend.Variable.__mro__[1].__module__ == "keras_tilec.src.variable"
    assert keras.Model.__mro__[1].__module__ == "keras_tilec.src.trainer"


def test_no_file_of_keras_is_changed() -> None:
    files = distribution("keras").files
    assert files is not None
    changed = [*ARMS, DYNAMIC]
    names = {
        f"{each.replace('.', '/')}{end}" for each in changed for end in (".py", "/__init__.py")
    }
    found = [each for each in files if str(each) in names]
    assert len(found) == len(changed)
    for each in found:
        digest = hashlib.sha256(Path(str(each.locate())).read_bytes()).digest()
        assert each.hash is not None
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == each.hash.value


def test_another_backend_is_left_alone() -> None:
    code = "import tilec.keras, json; print(json.dumps([type(e).__name__ for e in sys.meta_path]))"
    done = python(code, KERAS_BACKEND="numpy")
    assert done.returncode == 0, done.stderr
    assert "Finder" not in json.loads(done.stdout)


def test_keras_that_was_imported_before_is_an_error() -> None:
    code = "import types; sys.modules['keras'] = types.ModuleType('keras'); import tilec.keras"
    done = python(code, KERAS_BACKEND="")  # named there, an installed hook would come before
    assert "import tilec.keras first" in done.stderr


def test_the_line_of_the_pth_file() -> None:
    line = (ROOT / "tilec" / "keras" / "tilec_keras.pth").read_text()
    done = python(f"{line}\nprint('tilec' in sys.modules)", KERAS_BACKEND="torch")
    assert done.stdout.strip() == "False", done.stderr
    done = python(f"{line}\nprint('tilec.keras._hook' in sys.modules)", KERAS_BACKEND="tilec")
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n",
        "if backend() == 'tensorflow':\n  a = 1\nelif backend() == 'numpy':\n  a = 2\n" * 2,
    ],
)
def test_a_version_that_chooses_otherwise_is_refused(source: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(source)
    loader = _hook.GraftingLoader("keras.src.models.model", str(file))
    with pytest.raises(ImportError, match=r"tilec knows Keras 3\.15"):
        loader.get_code("keras.src.models.model")


def test_the_dynamic_backend_finds_functions() -> None:
    dynamic = utils.DynamicBackend()
    assert dynamic.__name__ == "keras.src.backend"
    assert dynamic.cast is backend.cast
    with pytest.raises(AttributeError):
        _ = dynamic.__wrapped__
    dynamic.set_backend("tilec")
    with pytest.raises(ValueError, match="Available backends"):
        dynamic.set_backend("none")


def test_layers_that_look_functions_up() -> None:
    images = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    scaled = layers.Rescaling(0.5, offset=1.0)(images)
    np.testing.assert_allclose(np.asarray(scaled), images * 0.5 + 1)
    normal = layers.Normalization()
    normal.adapt(images.reshape(-1, 3))
    found = np.asarray(normal(images.reshape(-1, 3)))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-5)
