"""Replace several reads of one tensor by one read at all their indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.op import prefix_of
from onnxgs_opt.samplers.site import StructuralSite

_COUNTED_SPLIT_SINCE = 18


@dataclass(frozen=True)
class MergeReads:
    """Join the indices of each of `sites`, read once, and cut the result into what each read made.

    Exact: every element is the one that was read before. Indices that the file holds are joined in the file.
    """

    sites: tuple[StructuralSite, ...] = ()
    name: str = "merge-reads"

    def run(self, graph: Graph) -> bool:
        """Merge the reads of every site that still has them; they stay, unused, until dead nodes are removed."""
        changed = False
        for site in self.sites:
            part = graph.at(site.body)
            tensors = part.tensors()
            if not all(_is_read(part, tensors.get(name), site) for name in site.results):
                continue
            _merge(part, site, tensors)
            changed = True
        return changed


def _is_read(graph: Graph, tensor: Tensor | None, site: StructuralSite) -> bool:
    """Whether a tensor still comes from a read, and is still needed."""
    if tensor is None or not tensor.inputs or tensor.inputs[0].op != site.read_op:
        return False
    return bool(tensor.outputs) or any(tensor is output for output in graph.outputs)


def _merge(graph: Graph, site: StructuralSite, tensors: dict[str, Tensor]) -> None:
    builder = Builder(graph, prefix_of(site))
    # Data and indices as they are now: what made them may have been lowered itself.
    operands = [tensors[name].inputs[0].inputs for name in site.results]
    index = _joined(builder, [inputs[1] for inputs in operands], site.stack)
    data = operands[0][0]
    merged = builder.op(site.read_op, data, index, dtype=data.dtype, **site.written)
    for name, part in zip(site.results, _parts(builder, merged, site), strict=True):
        old = tensors[name]
        part.dtype, part.shape = old.dtype, old.shape
        graph.replace_all_uses(old, part)


def _joined(builder: Builder, indices: Sequence[Tensor], axis: int) -> Tensor:
    values = [constant_value(tensor) for tensor in indices]
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return builder.const(np.concatenate(known, axis))
    return builder.concat(indices, axis)


def _parts(builder: Builder, merged: Tensor, site: StructuralSite) -> tuple[Tensor, ...]:
    count = len(site.results)
    counted: dict[str, Any] = {"num_outputs": count} if builder.opset >= _COUNTED_SPLIT_SINCE else {}
    return builder.op("Split", merged, outputs=count, axis=site.part, **counted)
