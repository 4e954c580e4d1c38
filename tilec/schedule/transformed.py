"""Schedules of convolutions by transforms of tiles, whatever the transform."""

from __future__ import annotations

from typing import TypeAlias

from tilec.schedule import fourier, winograd
from tilec.schedule.fourier import FourierPlan
from tilec.schedule.winograd import WinogradPlan
from tilec.target.core import Core
from tilec.tensor.fourier import Fourier
from tilec.tensor.transformed import Transformed
from tilec.tensor.winograd import Winograd

TransformPlan: TypeAlias = WinogradPlan | FourierPlan
"""A schedule."""

Transform: TypeAlias = tuple[Winograd, WinogradPlan] | tuple[Fourier, FourierPlan]
"""A convolution and its schedule."""


def transform(problem: Transformed, plan: TransformPlan) -> Transform:
    """A convolution with a schedule of its own kind."""
    if isinstance(plan, FourierPlan) and isinstance(problem, Fourier):
        return problem, plan
    assert isinstance(problem, Winograd)
    assert isinstance(plan, WinogradPlan)
    return problem, plan


def cycles(found: Transform, core: Core, size: int, *, constant: bool) -> float:
    """Cycles that the model gives a schedule on all threads."""
    problem, plan = found
    if isinstance(plan, FourierPlan) and isinstance(problem, Fourier):
        return fourier.cycles(problem, plan, core, size, constant=constant)
    assert isinstance(problem, Winograd)
    assert isinstance(plan, WinogradPlan)
    return winograd.cycles(problem, plan, core, size, constant=constant)


def flops(found: Transform) -> int:
    """Arithmetic operations."""
    problem, plan = found
    if isinstance(plan, FourierPlan) and isinstance(problem, Fourier):
        return fourier.flops(problem, plan)
    assert isinstance(problem, Winograd)
    assert isinstance(plan, WinogradPlan)
    return winograd.flops(problem, plan)


def scratch_bytes(found: Transform, core: Core, size: int) -> int:
    """Scratch memory of all threads."""
    problem, plan = found
    if isinstance(plan, FourierPlan) and isinstance(problem, Fourier):
        return fourier.scratch_bytes(problem, plan, core, size)
    assert isinstance(problem, Winograd)
    assert isinstance(plan, WinogradPlan)
    return winograd.scratch_bytes(problem, plan.block, size) * core.threads


def depth(found: Transform) -> int:
    """Operations that must follow one another."""
    problem, _ = found
    if isinstance(problem, Fourier):
        return fourier.depth(problem)
    return winograd.depth(problem, problem.channels, 0)
