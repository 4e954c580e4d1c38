"""What pyproject.toml promises about the packages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tilec.runtime.backend import GROUP, OWN, Backend

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entry_points() -> Iterator[EntryPoint]:
    groups = {
        "console_scripts": PROJECT["project"]["scripts"],
        **PROJECT["project"]["entry-points"],
    }
    for group, points in groups.items():
        for name, where in points.items():
            yield EntryPoint(name, where, group)


@pytest.mark.parametrize(
    "point", list(entry_points()), ids=lambda point: f"{point.group}:{point.name}"
)
def test_entry_points_can_be_loaded(point: EntryPoint) -> None:
    loaded: object = point.load()
    if point.group == GROUP:
        assert isinstance(loaded, Backend)
    else:
        assert callable(loaded)


def test_the_runtime_knows_the_entry_points_of_tilec_itself() -> None:
    assert PROJECT["project"]["entry-points"][GROUP] == dict(OWN)


def test_every_package_is_typed_and_in_the_wheel() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    found = [path.parent for path in ROOT.glob("*/*/py.typed")] + [ROOT / "tilec"]
    assert {ROOT / package for package in packages} == {
        package for package in found if "example" not in package.parts
    }
    assert all((ROOT / package / "py.typed").exists() for package in packages)
