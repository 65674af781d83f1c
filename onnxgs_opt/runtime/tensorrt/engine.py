"""An engine as reports tell it: layers and their times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLayer:
    """One layer of the network that was built, with TensorRT's name of its type."""

    name: str
    type: str


@dataclass(frozen=True)
class EngineTime:
    """The time of one layer of the engine, and its share of the whole."""

    name: str
    microseconds: float
    share: float


@dataclass(frozen=True)
class EngineBefore:
    """The engine of the model as it came, timed in turn with the new one; `problem` says why there is none."""

    problem: str | None = None
    microseconds: float | None = None
    layer_times: tuple[EngineTime, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A built engine; `layers` is the network's number of layers, `flags` what was asked of the builder.

    `max_abs` (against onnxruntime), `microseconds` (one run, in a CUDA graph), `layer_times` and `before` need a GPU;
    `before` also a model that was changed.
    """

    path: str
    backend: str
    version: str
    build_s: float
    layers: int
    flags: tuple[str, ...] = ()
    network: tuple[EngineLayer, ...] = ()
    max_abs: float | None = None
    microseconds: float | None = None
    layer_times: tuple[EngineTime, ...] = ()
    before: EngineBefore | None = None
