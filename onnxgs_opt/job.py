"""What one run works on: the model as it came and as it is looked at, the target, and the inputs that the user gave."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from onnx.defs import get_all_schemas

from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir import Constant, Tensor
from onnxgs_opt.ir.constants import is_size
from onnxgs_opt.ir.convert import converted, inlined
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.in_memory import proto_of
from onnxgs_opt.ir.outputs import require_data_apart
from onnxgs_opt.lowering import Target, Tolerance
from onnxgs_opt.options import AUTO, Options
from onnxgs_opt.options.spec import Arrays, Model, PathLike, Shapes
from onnxgs_opt.recognition.lifting.shape_inference import dim_name
from onnxgs_opt.runtime import Runtime, runtime_of
from onnxgs_opt.runtime.lacking import spelt_out
from onnxgs_opt.runtime.native import installed_library
from onnxgs_opt.runtime.ort import PROVIDERS, load_custom_ops
from onnxgs_opt.runtime.tensorrt.build import Backend, EngineOptions, Profile, choose_backend
from onnxgs_opt.samplers.view import by

LOG = logging.getLogger(__name__)


@dataclass
class Clock:
    """Wall time by stage, in seconds."""

    progress: Callable[[str], None] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name a stage, and add the time that it takes."""
        if self.progress is not None:
            self.progress(name)
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 6)
        LOG.debug("%s took %.3f s", name, taken)


@dataclass(frozen=True)
class Job:
    """One run's model, target and inputs.

    Attributes:
        options: What was asked for.
        source: The model as it came.
        start: The model without functions and at the opset that was asked for.
        target: What the result has to run on.
        shapes: By input name, the sizes that dynamic dims have in checks and measurements.
        largest: The same, with the largest sizes where the user said some.
        inputs: The user's own inputs for the whole model, if any.
        libraries: Absolute paths of libraries of custom operators, which are loaded.
        clock: What the stages took so far.
        sha256: Of the model's file as it came, without external data; None where it is no file.
    """

    options: Options
    source: Graph
    start: Graph
    target: Target
    shapes: Shapes
    largest: Shapes
    inputs: Mapping[str, np.ndarray[Any, Any]] | None
    libraries: tuple[str, ...]
    clock: Clock
    sha256: str | None = None

    @classmethod
    def of(cls, options: Options) -> Job:
        """Read the model and all that the options name for it.

        Raises:
            OptError: No engine builder is installed, or something cannot be read or does not fit the model.
        """
        clock = Clock(options.progress)
        runtime = options.target or "ort-cpu"
        if options.engine is not None:
            builder = choose_backend(_backend(options.target))
            runtime = options.target or builder
        library, ops = _native(runtime) if options.ops else ((), "")
        libraries = load_custom_ops((*options.custom_ops, *library))
        with clock.stage("load"):
            source = load(options.model)
        if source.original is not None and source.folder is not None:
            require_data_apart(options.files("out"), source.original, source.folder)
        shapes = known_shapes(source, options.shapes or {})
        largest = known_shapes(source, {**shapes, **(options.largest or {})})
        inputs = read_inputs(source, options.inputs)
        if inputs is None:
            _warn_of_unnamed(source, shapes)
        start = inlined(source) if options.opset is None else converted(inlined(source), options.opset)
        target = Target(
            start.opset,
            runtime,
            options.atol,
            options.rtol,
            plugin=options.has_plugin,
            ops=ops,
            avoid=known_operators(start, spelt_out(options.avoided)),
        )
        digest = _digest(options.model)
        return cls(options, source, start, target, shapes, largest, inputs, libraries, clock, digest)

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest value of dynamic sizes, by name, of inputs for which such shapes were given."""
        found: dict[str, tuple[int, int]] = {}
        for name, tensor in _wanted_inputs(self.start).items():
            ends = [dict(given or {}).get(name) for given in (self.options.smallest, self.options.largest)]
            least, most = (self.shapes.get(name) if end is None else end for end in ends)
            if least is None or most is None or tuple(least) == tuple(most):
                continue
            for axis, (dim, lo, hi) in enumerate(zip(tensor.shape or (), least, most, strict=False)):
                if not is_size(dim):
                    before = found.get(key := dim_name(tensor, axis), (lo, hi))
                    found[key] = max(lo, before[0]), min(hi, before[1])
        return found

    @property
    def stated(self) -> dict[str, tuple[int, int]]:
        """The value of dynamic sizes, by name, at which the user wants the model checked and timed."""
        shapes = {**self.shapes, **{name: value.shape for name, value in (self.inputs or {}).items()}}
        found: dict[str, tuple[int, int]] = {}
        for name, tensor in _wanted_inputs(self.start).items():
            for axis, (dim, size) in enumerate(zip(tensor.shape or (), shapes.get(name, ()), strict=False)):
                if not is_size(dim):
                    found.setdefault(dim_name(tensor, axis), (size, size))
        return found

    @property
    def other_libraries(self) -> tuple[str, ...]:
        """The libraries without that of onnxgs-ops."""
        return self.libraries[:-1] if self.target.ops else self.libraries

    @property
    def name(self) -> str:
        """What reports call the model."""
        model = self.options.model
        return os.fspath(model) if isinstance(model, str | os.PathLike) else "<model>"

    @property
    def may_measure(self) -> bool:
        """Whether lowerings are chosen by measuring, and the whole result too has to be faster."""
        wanted = self.options.validate and self.options.measure and self.options.lowering == AUTO
        return wanted and self.options.plan is None and self.target.is_here

    @property
    def times_result(self) -> bool:
        """Whether the whole result is timed at last, so that a form may be tried of which not much is known."""
        engine = self.options.engine is not None and not self.options.compute_capability
        return self.may_measure or (engine and self.target.is_here)

    @property
    def runtime(self) -> Runtime | None:
        """Where lowerings are checked beside onnxruntime on a CPU: the target, where it can run what is checked."""
        runtime = runtime_of(self.target.runtime)
        return runtime if runtime.checks and self.target.is_here else None

    def tolerance(self, own: Tolerance) -> Tolerance:
        """`own`, with what the user gave instead."""
        rtol, atol = self.options.rtol, self.options.atol
        if rtol is None and atol is None:
            return own
        given = (own.rtol if rtol is None else rtol, own.atol if atol is None else atol)
        return Tolerance(*given, "given by the user", strict=not any(given))

    def engine_options(self) -> EngineOptions:
        """How the engine is to be built."""
        options, least = self.options, self.options.smallest or {}
        return EngineOptions(
            backend=_backend(self.target.runtime),
            precisions=tuple(name for name in ("fp16", "bf16") if getattr(options, name)),
            profiles={
                name: Profile(tuple(least.get(name, best)), tuple(best), tuple(self.largest[name]))
                for name, best in self.shapes.items()
            },
            timing_cache=_path(options.timing_cache),
            workspace=options.workspace_bytes(),
            tactics=tuple((options.tactic_sources or "").split(",")) if options.tactic_sources else (),
            capabilities=tuple(options.compute_capability),
            library=_path(options.plugin_library),
        )


def known_operators(graph: Graph, names: Collection[str]) -> frozenset[str]:
    """The names, each of which ONNX or the model has to have an operator of.

    Raises:
        UsageError: There is none of a name.
    """
    if not names:
        return frozenset()
    known = {schema.name for schema in get_all_schemas()} | {
        node.op for part in (graph, *graph.bodies()) for node in part.nodes
    }
    for name in sorted(set(names) - known):
        near = get_close_matches(name.lower(), {other.lower(): other for other in known}, n=1)
        meant = next((other for other in known if near and other.lower() == near[0]), "")
        hint = f"did you mean {meant}" if meant else "write it as nodes have it: GridSample"
        raise UsageError(f"--avoid {name}: there is no such operator", hint)
    return frozenset(names)


def load(model: Model) -> Graph:
    """The graph of a file, or of a model in memory.

    Raises:
        ModelError: It cannot be read, or is not valid.
        UsageError: It is no model.
    """
    if isinstance(model, str | os.PathLike):
        return Graph.load(os.fspath(model))
    return Graph.from_proto(proto_of(model))


def _digest(model: Model) -> str | None:
    """SHA-256 of a model's file; None where it is none, or a stream, which is read once."""
    if isinstance(model, bytes):
        return sha256(model).hexdigest()
    if not isinstance(model, str | os.PathLike) or not Path(model).is_file():
        return None
    digest = sha256()
    with Path(model).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _native(runtime: str) -> tuple[tuple[str], str]:
    """The library of onnxgs-ops, and its version."""
    if runtime not in PROVIDERS:
        raise UsageError(f"--ops is for onnxruntime, and the target is {runtime}", "engines take --plugin-library FILE")
    path, version = installed_library()
    return (path,), version


def _backend(target: str | None) -> Backend | None:
    """The builder for a target; None, which is any, for one that runs no engines."""
    return target if target in ("tensorrt", "tensorrt-rtx") else None  # type: ignore[return-value]


def _path(name: PathLike | None) -> Path | None:
    return None if name is None else Path(name)


def _wanted_inputs(graph: Graph) -> dict[str, Tensor]:
    return {t.name: t for t in graph.inputs if not isinstance(t, Constant)}


def known_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[int]]:
    """The shapes that the user gave, each for an input of the model and of its rank."""
    wanted = _wanted_inputs(graph)
    for name, shape in shapes.items():
        if name not in wanted:
            raise UsageError(f"--shape: the model has no input '{name}'", f"its inputs are {', '.join(wanted)}")
        _check_shape("--shape", wanted[name], shape)
    return shapes


def _check_shape(what: str, tensor: Tensor, shape: Sequence[int]) -> None:
    dims = tensor.shape
    if dims is None:
        return
    declared = by(dims)
    if len(dims) != len(shape):
        hint = f"give a size for each dim of {declared}"
        raise UsageError(f"{what}: input '{tensor.name}' has {len(dims)} dims, not {len(shape)}", hint)
    for axis, (fixed, size) in enumerate(zip(dims, shape, strict=True)):
        if is_size(fixed) and fixed != size:
            hint = f"the model's own shape is {declared}: a number there cannot be changed"
            raise UsageError(f"{what}: dim {axis} of input '{tensor.name}' is fixed at {fixed}, not {size}", hint)


def _warn_of_unnamed(graph: Graph, shapes: Shapes) -> None:
    """Warn of inputs that have dims of no known size where others were given: sizes are chosen for them."""
    unnamed = without_sizes(graph, shapes)
    if shapes and unnamed:
        message = "--shape says nothing of %s: its sizes are chosen here, and the times are those of that choice"
        LOG.warning(message, ", ".join(unnamed))


def without_sizes(graph: Graph, shapes: Shapes) -> list[str]:
    """Names of the inputs that have dims of which neither the file nor `shapes`, shapes of inputs, tell the size."""
    wanted = _wanted_inputs(graph)
    known = {dim for name in shapes for dim in wanted[name].shape or ()}
    return [t.name for t in wanted.values() if t.name not in shapes and not _has_sizes(t, known)]


def _has_sizes(tensor: Tensor, known: Set[object]) -> bool:
    """Whether every dim is a number, or has the name of one that is known."""
    return tensor.shape is not None and all(is_size(dim) or (dim and dim in known) for dim in tensor.shape)


def read_inputs(graph: Graph, given: PathLike | Arrays | None) -> dict[str, np.ndarray[Any, Any]] | None:
    """The arrays that were given or lie in an .npz file, one for every input of the model."""
    if given is None:
        return None
    wanted = _wanted_inputs(graph)
    if isinstance(given, Mapping):
        arrays, inside = given, "what was given"
    else:
        arrays, inside = _arrays_of(given, wanted), f"'{os.fspath(given)}'"
    for name, tensor in wanted.items():
        if name not in arrays:
            raise UsageError(f"--inputs: no array '{name}' in {inside}", f"it needs {', '.join(wanted)}")
        _check_shape("--inputs", tensor, np.shape(arrays[name]))
    return {name: _of_type(tensor, np.asarray(arrays[name])) for name, tensor in wanted.items()}


def _of_type(tensor: Tensor, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array for an input, in the machine's own order of bytes: onnxruntime converts none, and would not run.

    What numpy has no arrays of, as bfloat16, is given as another type, and words in any of numpy's ways.
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    own = tensor.dtype if isinstance(tensor.dtype, np.dtype) else array.dtype
    same = own == array.dtype or (own.kind == "O" and array.dtype.kind in "US") or own.kind not in "biufcO"
    if not same:
        kind = "words" if own.kind == "O" else own.name
        hint = "" if own.kind == "O" else f"write it as {tensor.name}.astype('{own.name}')"
        raise UsageError(f"--inputs: input '{tensor.name}' is of {kind}, not {array.dtype.name}", hint)
    return array


def _arrays_of(path: PathLike, wanted: Iterable[str]) -> Arrays:
    """The arrays of an .npz file."""
    try:
        # Opened here, since numpy leaves half a file open.
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"cannot read inputs from '{os.fspath(path)}': {error}", "check the path") from None
    except (ValueError, EOFError, AttributeError, TypeError, BadZipFile):  # text, pickles, one array alone, half a file
        hint = f"write one with numpy.savez('inputs.npz', {', '.join(f'{name}=...' for name in wanted)})"
        raise UsageError(f"cannot read inputs from '{os.fspath(path)}': no .npz file of plain arrays", hint) from None
