"""Export a PyTorch module, optimise the export, and check it against the module itself. Needs torch.

    onnxgs_opt.torch.export(module, (image, flow), "warp.onnx")

torch is imported when `export` is called, never before.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.api import Result, optimize
from onnxgs_opt.errors import MismatchError, UsageError
from onnxgs_opt.options.spec import PathLike
from onnxgs_opt.runtime.ort import open_session

RTOL, ATOL = 1e-3, 1e-4
"""How far the result may be from the module: runtimes sum in another order than PyTorch does."""

Array = np.ndarray[Any, Any]
Tree = Any
"""Tensors in tuples, lists and dicts, as modules take and return them."""


@dataclass(frozen=True)
class Exported:
    """What came of an export: the run's result, and the largest differences from what the module returns.

    Attributes:
        result: As `optimize` returns it.
        before: The largest difference of the model as torch exports it.
        after: That of what was written.
    """

    result: Result
    before: float
    after: float


def export(
    module: Any,
    args: tuple[Any, ...],
    path: PathLike,
    *,
    kwargs: Mapping[str, Any] | None = None,
    exporter: Mapping[str, Any] | None = None,
    tolerances: tuple[float, float] = (RTOL, ATOL),
    **options: Any,
) -> Exported:
    """Write the optimised export of a module, once it is seen to return what the module returns for `args`.

    Args:
        module: A `torch.nn.Module`; it is exported and run as it is, so call `eval()` before.
        args: Its positional arguments. Their values are the inputs of the check, their sizes those of the timing.
        path: Where to write the model.
        kwargs: Its other arguments by name.
        exporter: More for `torch.onnx.export`, such as `input_names`, `opset_version`, `dynamic_shapes` or `dynamo`.
        tolerances: rtol and atol of the check against the module.
        options: As `onnxgs_opt.optimize` takes them.

    Raises:
        UsageError: torch is missing, or what the module takes or returns is not what the export does.
        MismatchError: The export or the optimised model returns something else than the module; nothing is written.
    """
    torch = _torch()
    with torch.no_grad():
        expected = [_array(value) for value in _leaves(module(*args, **(kwargs or {})))]
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / Path(path).name
        torch.onnx.export(module, tuple(args), str(plain), kwargs=dict(kwargs or {}), **(exporter or {}))
        feeds = _feeds(plain, [_array(value) for value in _leaves((*args, *(kwargs or {}).values()))])
        check = _Check(plain.parent, feeds, expected, tolerances)
        before = check.difference(onnx.load(plain, load_external_data=False), "the export")
        after = [before]

        def accept(model: onnx.ModelProto) -> None:
            after.append(check.difference(model, "the optimised model"))

        given = {"inputs": feeds, "shapes": {name: value.shape for name, value in feeds.items()}, **options}
        result = optimize(plain, path, accept=accept, raise_on_mismatch=True, **given)
    logging.getLogger(__name__).info("difference from the module: %g exported, %g optimised", before, after[-1])
    named = replace(result, report=replace(result.report, input=str(Path(path))))  # the export itself is gone
    return Exported(named, before, after[-1])


@dataclass(frozen=True)
class _Check:
    """What a model in a folder has to return for some inputs."""

    folder: Path
    feeds: Mapping[str, Array]
    expected: Sequence[Array]
    tolerances: tuple[float, float]

    def difference(self, model: onnx.ModelProto, name: str) -> float:
        """The largest difference from what is expected; MismatchError beyond the tolerances."""
        found = open_session(model, self.folder).run(None, self.feeds)
        if len(found) != len(self.expected):
            raise UsageError(f"{name} has {len(found)} outputs, the module {len(self.expected)}", "return tensors only")
        rtol, atol = self.tolerances
        worst = 0.0
        for mine, theirs in zip(found, self.expected, strict=True):
            if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol, atol, equal_nan=True):
                off = float(np.max(np.abs(mine - theirs))) if mine.shape == theirs.shape else float("inf")
                hint = "tolerances=(rtol, atol) allows more; a module in training mode returns something else each time"
                raise MismatchError(f"{name} differs from the module by {off:.3g}; nothing was written", hint)
            worst = max(worst, float(np.max(np.abs(mine - theirs), initial=0.0)))
        return worst


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UsageError("onnxgs_opt.torch.export needs torch", "pip install torch") from None
    return torch


def _leaves(tree: Tree) -> list[Any]:
    """The tensors in a tree, from left to right; None is none."""
    match tree:
        case None:
            return []
        case tuple() | list():
            return [leaf for item in tree for leaf in _leaves(item)]
        case dict():
            return [leaf for item in tree.values() for leaf in _leaves(item)]
    return [tree]


def _array(value: Any) -> Array:
    """A tensor or a number as an array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _feeds(path: Path, arrays: Sequence[Array]) -> dict[str, Array]:
    """The arguments by the names of the export's inputs, which are in their order."""
    graph = onnx.load(path, load_external_data=False).graph
    constants = {each.name for each in graph.initializer}
    names = [each.name for each in graph.input if each.name not in constants]
    if len(names) != len(arrays):
        message = (
            f"the export has {len(names)} inputs, {', '.join(names)}, and the arguments hold {len(arrays)} tensors"
        )
        raise UsageError(message, "leave out arguments that the module does not use")
    return dict(zip(names, arrays, strict=True))
