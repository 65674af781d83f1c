"""Models on disk: read without weights, check that the graph is one, write atomically."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from onnxgs_opt.errors import ModelError, UsageError
from onnxgs_opt.importer import DEFAULT_DOMAINS, opset_of, readable_text

_PROTOBUF_LIMIT = 2**31
_CHUNK = 1 << 22
_EXPORT_AGAIN = "export the model again, or check it with onnx.checker.check_model"


def read_model(path: Path) -> ModelProto:
    """Parse the file at ``path``; external weights are not read.

    Raises:
        ModelError: The file is missing, is not a model, or the model is not a valid graph.
    """
    raw = _read(path)
    model = ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not an ONNX model or is truncated",
            "check that the file is complete: copy or export it again",
        ) from error
    try:
        with readable_text():
            check_model(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}", error.hint) from error
    return model


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model", "name the .onnx file in it")
    try:
        if path.stat().st_size >= _PROTOBUF_LIMIT:
            raise ModelError(f"{path} is over 2 GiB, more than protobuf can hold", "save its weights as external data")
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", "check the path") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {_reason(error)}", "check the path and its permissions") from error
    if not raw:
        raise ModelError(f"{path} is empty", "export the model again")
    return raw


# -- checks ---------------------------------------------------------------------------------------


def check_model(model: ModelProto) -> None:
    """Check what every later step relies on: one linear walk, no weights read.

    Raises:
        ModelError: No graph, no opset, an undefined or doubly defined tensor, or weights out of reach.
    """
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError("there is no graph in it", "is it an ONNX model? " + _EXPORT_AGAIN)
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"its IR version is {model.ir_version}, onnx {onnx.__version__} reads 1 to {onnx.IR_VERSION}",
            "upgrade the onnx package, or export the model again",
        )
    opset = opset_of(model.opset_import)
    if opset is None and (not model.opset_import or _uses_default_domain(model.graph)):
        raise ModelError("it imports no ONNX opset", "the file may be truncated: " + _EXPORT_AGAIN)
    if opset is not None and opset < 1:
        raise ModelError(f"it imports ONNX opset {opset}, which does not exist", _EXPORT_AGAIN)
    _check_graph(model.graph, frozenset())
    for function in model.functions:
        body = GraphProto(name=function.name, node=function.node)
        _check_nodes(body, set(function.input), frozenset(), list(function.output))
    for tensor in external_tensors(model):
        location_of(tensor)


def _uses_default_domain(graph: GraphProto) -> bool:
    return any(node.domain in DEFAULT_DOMAINS for node in graph.node)


def _check_graph(graph: GraphProto, outer: frozenset[str]) -> None:
    inputs = [info.name for info in graph.input]
    initializers = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    for names, kind in ((inputs, "inputs"), (initializers, "initialisers")):
        if len(set(names)) != len(names):
            raise ModelError(f"two {kind} have the name {_first_repeated(names)!r}", _EXPORT_AGAIN)
    _check_nodes(graph, {*inputs, *initializers}, outer, [info.name for info in graph.output])


def _check_nodes(graph: GraphProto, given: set[str], outer: frozenset[str], outputs: list[str]) -> None:
    known = set(given)
    for name in (name for node in graph.node for name in node.output if name):
        if name in known:
            raise ModelError(f"tensor {name!r} is defined twice", "every tensor is made once: " + _EXPORT_AGAIN)
        known.add(name)
    for node in graph.node:
        _check_inputs(node, known, outer)
    for name in outputs:
        if name not in known and name not in outer:
            raise ModelError(f"nothing makes the output {name!r} of graph {graph.name!r}", _EXPORT_AGAIN)


def _check_inputs(node: NodeProto, known: set[str], outer: frozenset[str]) -> None:
    for name in node.input:
        if name and name not in known and name not in outer:
            raise ModelError(f"node {node.name or node.op_type!r} reads {name!r}, which nothing makes", _EXPORT_AGAIN)
    bodies = [a.g for a in node.attribute if a.type == AttributeProto.GRAPH]
    scope = outer | known if bodies else outer
    for body in bodies:
        _check_graph(body, scope)


def _first_repeated(names: list[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


# -- external data --------------------------------------------------------------------------------


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the model whose data lies in another file."""
    yield from (t for t in _tensors_of_graph(model.graph) if t.data_location == TensorProto.EXTERNAL)
    nodes = (node for function in model.functions for node in function.node)
    yield from (t for t in _tensors_of_nodes(nodes) if t.data_location == TensorProto.EXTERNAL)


def _tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Any) -> Iterator[TensorProto]:
    for node in nodes:
        for attr in node.attribute:
            if attr.type == AttributeProto.TENSOR:
                yield attr.t
            elif attr.type == AttributeProto.GRAPH:
                yield from _tensors_of_graph(attr.g)
            elif attr.type in (AttributeProto.TENSORS, AttributeProto.GRAPHS):
                yield from attr.tensors
                for graph in attr.graphs:
                    yield from _tensors_of_graph(graph)


def location_of(tensor: TensorProto) -> PurePosixPath:
    """Path of a tensor's data file, relative to the model's folder.

    Raises:
        ModelError: There is no location, or it leads out of the model's folder.
    """
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    path, windows = PurePosixPath(location), PureWindowsPath(location)
    outside = path.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if not location or outside or "\0" in location:
        raise ModelError(
            f"the data of tensor {tensor.name!r} is said to lie in {location!r}, outside the model's folder",
            "external data must lie in the model's folder: save the model again with a relative location",
        )
    return path


# -- writing --------------------------------------------------------------------------------------


def write_model(model: ModelProto, path: Path, source: Path | None) -> None:
    """Write ``model`` to ``path`` in one step, and see that its external data lies beside it.

    Args:
        model: The model; its external tensors stay references.
        path: The file to make or replace.
        source: Folder of the model that the references come from, None when there is none.

    Raises:
        UsageError: The folder or a file in it cannot be written. Nothing is left behind.
        ModelError: The model is too big for one file, or its data file is missing.
    """
    with contextlib.ExitStack() as undo:
        try:
            if path.is_dir():
                raise UsageError(f"cannot write {path}: it is a folder", "name a file, such as out.onnx")
            if source is not None:
                _bring_data(model, source, path.parent, undo)
            _replace(path, _serialize(model), undo)
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {_reason(error)}",
                "choose a folder that exists, is writable and has space",
            ) from error
        undo.pop_all()


def _serialize(model: ModelProto) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise ModelError("the model is over 2 GiB in one file", "save its weights as external data") from error


def _replace(path: Path, raw: bytes, undo: contextlib.ExitStack) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    undo.callback(temporary.unlink, missing_ok=True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fchmod(file.fileno(), _mode_for(path))
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _mode_for(path: Path) -> int:
    """Permissions of the file that is replaced, else what the process gives new files."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    # Some file systems refuse to sync a folder; the rename is atomic all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _bring_data(model: ModelProto, source: Path, folder: Path, undo: contextlib.ExitStack) -> None:
    for location in sorted({location_of(tensor) for tensor in external_tensors(model)}):
        here, there = source / location, folder / location
        if not here.is_file():
            raise ModelError(f"the model's data file {here} does not exist", "put it back beside the model")
        if there.exists():
            _check_same_data(here, there)
            continue
        for parent in reversed([p for p in there.parents if folder in p.parents and not p.exists()]):
            parent.mkdir()
            undo.callback(_remove_empty, parent)
        _copy(here, there, undo)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _check_same_data(here: Path, there: Path) -> None:
    mine, other = here.stat(), there.stat()
    same_copy = mine.st_size == other.st_size and mine.st_mtime_ns == other.st_mtime_ns
    if here.samefile(there) or same_copy:
        return
    raise UsageError(
        f"{there} exists and is not the data file of the model",
        "write to another folder, or remove that file",
    )


def _copy(here: Path, there: Path, undo: contextlib.ExitStack) -> None:
    # Never a link: onnx refuses to load data files with several links, the original's from then on too.
    temporary = there.with_name(f".{there.name[:64]}.{os.getpid()}.tmp")
    undo.callback(temporary.unlink, missing_ok=True)
    with here.open("rb") as source, temporary.open("wb") as target:
        try:
            _clone(source.fileno(), target.fileno(), here.stat().st_size)
        except (OSError, AttributeError):
            source.seek(0)
            target.seek(0)
            shutil.copyfileobj(source, target, _CHUNK)
            target.truncate()
        os.fsync(target.fileno())
    shutil.copystat(here, temporary)
    undo.callback(there.unlink, missing_ok=True)
    temporary.replace(there)


def _clone(source: int, target: int, size: int) -> None:
    """Copy inside the kernel; file systems that can share the blocks do."""
    while size > 0:
        copied = os.copy_file_range(source, target, size)
        if not copied:
            raise OSError("the file became shorter")
        size -= copied


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
