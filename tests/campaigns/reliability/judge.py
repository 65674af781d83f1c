"""One execution of the package on something hostile, and whether what it did was right.

Right is: a refusal of one line with exit code 2, or a model that holds what came in. A model that was not rewritten
comes out equal, message by message; a rewritten one passes onnx's checker where the original did, and computes the
same. No name of the model steers a terminal, a browser or a build service through a report.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from onnxgs_opt import optimize
from onnxgs_opt.api import Result
from onnxgs_opt.errors import OptError
from onnxgs_opt.report.model import Report
from onnxgs_opt.report.rendering import FORMATS, render
from onnxgs_opt.report.rendering.text import to_text
from tests.campaigns.reliability import graphs, wire
from tests.campaigns.reliability.corpus import SLOW, seeds, small_seeds

LOWERINGS = ("merged-gather", "blocked-gather", "lerp-gather", "row-gather", "packed-gather", "grid-sample", "plugin")
FORMS = (*LOWERINGS, "auto", "resize", "polyphase-conv", "axis-matmul", "roi-align", "deform-conv")
SLOW_BYTES, SLOW_GRAPHS = 0.01, 0.15
"""Shares of executions that start from a seed with a site."""
TOLERANCE = 1e-3
"""Of unit-normal images, GridSample's coordinate round trip included."""
VALIDATED, WRITTEN, RENDERED = 0.05, 0.1, 0.01
"""Shares: of graphs that the package validates by itself, of files that are written, of reports without a finding that
are rendered."""


class Outcome(IntEnum):
    """What came of one execution; those from `CRASH` on must not be."""

    REFUSED = 1
    UNCHANGED = 2
    REWRITTEN = 3
    PROVED = 4
    CRASH = 10
    BAD_ERROR = 11
    LOST = 12
    INVALID = 13
    WRONG = 14
    HANG = 15
    DIED = 16
    INJECTED = 17


Allow = Callable[[int], None]
"""Is told how many bytes were drawn, before the package runs on them."""


def judge_bytes(seed: int, folder: Path, allow: Allow) -> tuple[Outcome, str]:
    """Draw the bytes of this seed, write them as a file and run on it."""
    rng = random.Random(seed)
    files = seeds()
    names = SLOW if rng.random() < SLOW_BYTES else small_seeds()
    path = folder / "in.onnx"
    allow(path.write_bytes(wire.draw(files, names, rng)))
    return judge(path, rng, validate=False, output=folder / "out.onnx" if rng.random() < WRITTEN else None)


def judge_graph(seed: int, folder: Path, allow: Allow) -> tuple[Outcome, str]:
    """Draw the model of this seed and run on it in memory."""
    rng = random.Random(seed)
    files = seeds()
    names = SLOW if rng.random() < SLOW_GRAPHS else small_seeds()
    model = graphs.draw(ModelProto.FromString(files[rng.choice(names)]), rng)
    allow(model.ByteSize())
    return judge(model, rng, validate=rng.random() < VALIDATED)


CAMPAIGNS = {"bytes": judge_bytes, "graphs": judge_graph}


def judge(
    source: Path | ModelProto,
    rng: random.Random,
    validate: bool,
    output: Path | None = None,
    lowering: str | None = None,
) -> tuple[Outcome, str]:
    """Run once; the detail says what went wrong, or what the refusal was."""
    before = source.SerializeToString() if isinstance(source, ModelProto) else b""
    try:
        chosen = lowering or rng.choice(FORMS)
        result = optimize(source, output, lowering=chosen, validate=validate, measure=False)
    except OptError as error:
        fine = error.exit_code == 2 and str(error).strip() and "\n" not in str(error) + error.hint
        fine = fine and (output is None or [p.name for p in output.parent.iterdir()] == ["in.onnx"])
        return (Outcome.REFUSED if fine else Outcome.BAD_ERROR), str(error)
    report = result.report
    if (report.sites or report.near_misses or report.hazards or rng.random() < RENDERED) and (bad := injected(report)):
        return Outcome.INJECTED, bad
    if result.report.status == "mismatch":
        return Outcome.REFUSED, "the package's own validation refused it"
    if isinstance(source, ModelProto) and source.SerializeToString() != before:
        return Outcome.LOST, "the model that was given has changed"
    made = result.model.SerializeToString() if output is None else output.read_bytes()
    if output is not None:
        output.unlink()
    return _judge_result(before or source.read_bytes(), made, result)  # type: ignore[union-attr]


def injected(report: Report) -> str:
    """The format in which a report holds what no reader of it may meet; empty where none does."""
    for name in FORMATS:
        text = render(name, report)
        if any(not (c.isprintable() or c == "\n") for c in text):
            return f"{name} holds control characters"
    commands = [line for line in render("github", report).splitlines() if line.startswith("::")]
    if len(commands) != len(report.sites) + len(report.near_misses) + len(report.hazards):
        return "github holds other commands"
    text = to_text(report)
    return "text holds control characters" if any(not (c.isprintable() or c == "\n") for c in text) else ""


def _judge_result(before: bytes, made: bytes, result: Result) -> tuple[Outcome, str]:
    original = ModelProto.FromString(before)
    try:
        after = ModelProto.FromString(made)
    except DecodeError:
        return Outcome.INVALID, "what came out is no protobuf message"
    if result.report.status != "optimised":
        return (Outcome.UNCHANGED, "") if _same(original, after) else (Outcome.LOST, "the model has changed")
    if not _valid(original):
        return Outcome.REWRITTEN, ""
    if not _valid(after):
        return Outcome.INVALID, "onnx's checker accepts the original only"
    return _compare(original, after)


def _same(original: ModelProto, after: ModelProto) -> bool:
    return original.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True)


def _valid(model: ModelProto) -> bool:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # it raises errors of several kinds, some of them bare
        return False
    return True


# -- do both compute the same? ---------------------------------------------------------------------


def _compare(original: ModelProto, after: ModelProto) -> tuple[Outcome, str]:
    """Run both in onnxruntime, where the original runs."""
    try:
        inputs = feeds(original)
        expected = _run(original, inputs)
    except Exception:  # onnxruntime's errors have no other base
        return Outcome.REWRITTEN, ""
    try:
        actual = _run(after, inputs)
    except Exception as error:
        return Outcome.WRONG, f"the result does not run: {' '.join(str(error).split())[:200]}"
    for a, b in zip(expected, actual, strict=True):
        if np.shape(a) != np.shape(b) or not _close(np.asarray(a), np.asarray(b)):
            return Outcome.WRONG, "the outputs differ"
    return Outcome.PROVED, ""


def _close(a: Any, b: Any) -> bool:
    if a.dtype.kind not in "fiu":
        return bool(np.array_equal(a, b))
    finite = a[np.isfinite(a)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    return bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))


def feeds(model: ModelProto) -> dict[str, Any]:
    """Images of random numbers, coordinates in and beside them but never near a whole number or a bound."""
    rng = np.random.default_rng(0)
    stored = {t.name for t in model.graph.initializer}
    found: dict[str, Any] = {}
    for info in (i for i in model.graph.input if i.name not in stored):
        tensor = info.type.tensor_type
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        shape = [d.dim_value if d.HasField("dim_value") else 2 for d in tensor.shape.dim]
        if any(not 0 <= size <= 1000 for size in shape) or np.prod(shape, dtype=np.float64) > 1e6:
            raise ValueError("too large to be run")
        if tensor.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
            image = "im" in info.name or info.name == "t"
            values = rng.standard_normal(shape) if image else rng.integers(-2, 6, shape) + rng.uniform(0.2, 0.8, shape)
            found[info.name] = values.astype(kind)
        else:
            found[info.name] = rng.integers(0, 2, shape).astype(kind)
    return found


def _run(model: ModelProto, inputs: dict[str, Any]) -> list[Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))
