"""The engines that run ONNX models here: which are installed, and how each is used at its best."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final, TypeAlias, cast

import numpy as np

import tilec
import tilec.onnx
from tilec.bench import torch_engine, training
from tilec.bench.subject import Array, Subject
from tilec.errors import ArgumentError
from tilec.options import read_environment
from tilec.records import dataclass

Run: TypeAlias = "Callable[[], Sequence[Array]]"

TILEC: Final = "tilec"
ONNXRUNTIME: Final = "onnxruntime"
TORCH: Final = "torch"
INSTALL: Final = "pip install 'tilec[bench]'"


@dataclass(frozen=True, slots=True)
class Engine:
    """Something that runs models.

    Attributes:
        name: As the command line and reports call it.
        module: What it takes to be there.
        prepare: Compiles a model for so many threads.
        train: Compiles a step of its training; None if it does not train.
    """

    name: str
    module: str
    prepare: Callable[[Subject, int], Run]
    train: Callable[[Subject, int], Run] | None = None

    def missing(self, training: bool = False) -> str | None:
        """Why it cannot be used, and what to do; None if it can."""
        if training and self.train is None:
            return f"{self.name} is left out: it does not train ONNX models"
        try:
            importlib.import_module(self.module)
        except ImportError:
            return f"{self.name} is not installed: {INSTALL}"
        return None

    def prepared(self, subject: Subject, threads: int) -> Run:
        """What runs the model, or trains it."""
        work = self.train if subject.training else self.prepare
        if work is None:
            raise ArgumentError(str(self.missing(training=True)))
        return work(subject, threads)

    def version(self) -> str:
        """The version that is installed."""
        if self.name == TILEC:
            return tilec.__version__
        return importlib.metadata.version(self.module)


def tilec_run(subject: Subject, threads: int) -> Run:
    """Tilec, with the target that the environment names."""
    return _compiled(subject, read_environment().options, threads)


def reference_run(subject: Subject) -> Run:
    """What the definition says, without any compiler."""
    if subject.training:
        return training.reference_step(subject)
    options = dataclasses.replace(read_environment().options, target="reference")
    return _compiled(subject, options, 1)


def _compiled(subject: Subject, options: tilec.Options, threads: int) -> Run:
    chosen = dataclasses.replace(options, num_threads=threads)
    program = tilec.onnx.load(subject.model, options=chosen)
    inputs = list(subject.inputs.values())

    def run() -> Sequence[Array]:
        found: object = program(*inputs)
        return cast("tuple[Array, ...]", found if isinstance(found, tuple) else (found,))

    return run


def _onnxruntime(subject: Subject, threads: int) -> Run:
    library: Any = importlib.import_module("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings are about what cannot be changed here
    session = library.InferenceSession(
        subject.serialized(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, subject.inputs)


def _openvino(subject: Subject, threads: int) -> Run:
    library: Any = importlib.import_module("openvino")
    core = library.Core()
    model = core.read_model(BytesIO(subject.serialized()))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Else it computes in bf16 on processors that can.
        "INFERENCE_PRECISION_HINT": "f32" if subject.dtype != "float16" else "f16",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run() -> Sequence[Array]:
        found = request.infer(subject.inputs, share_inputs=True, share_outputs=True)
        return list(found.values())

    return run


ENGINES: Final = (
    Engine(TILEC, "tilec", tilec_run, training.tilec_step),
    Engine(ONNXRUNTIME, "onnxruntime", _onnxruntime),
    Engine("openvino", "openvino", _openvino),
    Engine(TORCH, "torch", torch_engine.prepare, torch_engine.prepare_training),
)
NAMES: Final = tuple(each.name for each in ENGINES)


def outputs(run: Run) -> list[Array]:
    """What a run computes, in memory of its own."""
    return [np.array(each) for each in run()]
