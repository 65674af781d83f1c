"""Shapes of operators' results where every size is known, and the sizes that do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.ir.operators import BOOLEAN, ELEMENTWISE, REDUCTIONS, SAME_SHAPE

MAX_VALUE_SIZE = 4096
"""Values above this many elements are not computed: shapes and index bases are small."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Fact:
    """What is known of a tensor: its shape, its numpy dtype, its value where small and constant at these sizes."""

    shape: Shape | None = None
    dtype: np.dtype[Any] | None = None
    value: Array | None = None


UNKNOWN = Fact()


class Conflict(ValueError):  # noqa: N818 (an observation about sizes)
    """Two dims that have to be equal are not: the model does not run at these sizes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b} do not broadcast")
        self.dims = (a, b)


def of_array(array: object) -> Fact:
    """The fact of a known array; a large one is known by its shape only."""
    value = np.asarray(array)
    return Fact(value.shape, value.dtype, value if value.size <= MAX_VALUE_SIZE else None)


def float_types(operands: Iterable[Fact], nodes: Iterable[Node], facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """The float types of operands and of all that nodes make, each once."""
    made = [facts.get(t.name, UNKNOWN) for node in nodes for t in node.outputs]
    return tuple(sorted({str(f.dtype) for f in (*operands, *made) if f.dtype is not None and f.dtype.kind == "f"}))


def _known(fact: Fact) -> Shape:
    if fact.shape is None:
        raise ValueError("unknown shape")
    return fact.shape


def _ints(node: Node, name: str, position: int, inputs: Sequence[Fact]) -> list[int] | None:
    """An operator's int list, which is an attribute or, in later opsets, an input."""
    if name in node.attrs:
        value = node.attrs[name]
        return [value] if isinstance(value, int) else list(value)
    if position < len(inputs) and node.inputs[position].name:
        array = inputs[position].value
        if array is None or array.dtype.kind not in "iu":
            raise ValueError(f"{name} is not known")
        return [int(v) for v in np.ravel(array)]
    return None


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    out: list[int] = []
    for places in zip_longest(*(reversed(s) for s in shapes), fillvalue=1):
        wide = sorted({d for d in places if d != 1})
        if len(wide) > 1:
            raise Conflict(wide[0], wide[1])
        out.append(wide[0] if wide else 1)
    return tuple(reversed(out))


def _elementwise(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape = _broadcast([_known(f) for f, t in zip(inputs, node.inputs, strict=True) if t.name])
    if node.op in BOOLEAN:
        return [Fact(shape, np.dtype(bool))]
    if node.op == "Cast":
        return [Fact(shape, onnx.helper.tensor_dtype_to_np_dtype(int(node.attrs["to"])))]
    return [Fact(shape, inputs[1 if node.op == "Where" else 0].dtype)]


def reshaped(old: Shape, target: Sequence[int], allow_zero: bool = False) -> Shape:
    """The shape that Reshape gives a tensor of shape `old`."""
    dims = [old[i] if d == 0 and not allow_zero else d for i, d in enumerate(target)]
    total = int(np.prod(old, dtype=np.int64))
    if -1 in dims:
        rest = int(np.prod([d for d in dims if d != -1], dtype=np.int64))
        dims[dims.index(-1)] = total // rest if rest else 0
    if int(np.prod(dims, dtype=np.int64)) != total:
        for wanted, got in zip(target, old, strict=False):
            is_other = wanted not in (-1, 0, 1, got) and wanted not in old
            if is_other and got and wanted * total == got * int(np.prod(dims, dtype=np.int64)):
                raise Conflict(wanted, got)  # nothing but these two differs: else the products may agree otherwise
        raise ValueError("reshape of another size")
    return tuple(dims)


def _reshape(node: Node, inputs: list[Fact]) -> list[Fact]:
    target = _ints(node, "shape", 1, inputs) or []
    return [Fact(reshaped(_known(inputs[0]), target, bool(node.attrs.get("allowzero", 0))), inputs[0].dtype)]


def _flatten(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape, axis = _known(inputs[0]), node.attrs.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    halves = (int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64)))
    return [Fact(halves, inputs[0].dtype)]


def _transpose(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape = _known(inputs[0])
    perm = node.attrs.get("perm", range(len(shape))[::-1])
    if sorted(perm) != list(range(len(shape))):
        raise ValueError("perm is no order of the axes")
    return [Fact(tuple(shape[p] for p in perm), inputs[0].dtype)]


def _unsqueeze(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape, axes = _known(inputs[0]), _ints(node, "axes", 1, inputs) or []
    rank = len(shape) + len(axes)
    places, rest = {a % rank for a in axes}, iter(shape)
    if len(places) < len(axes):
        raise ValueError("an axis is put in twice")
    return [Fact(tuple(1 if i in places else next(rest) for i in range(rank)), inputs[0].dtype)]


def _squeeze(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape, axes = _known(inputs[0]), _ints(node, "axes", 1, inputs)
    drop = {i for i, d in enumerate(shape) if d == 1} if axes is None else {a % len(shape) for a in axes}
    return [Fact(tuple(d for i, d in enumerate(shape) if i not in drop), inputs[0].dtype)]


def _expand(node: Node, inputs: list[Fact]) -> list[Fact]:
    target = _ints(node, "shape", 1, inputs) or []
    return [Fact(np.broadcast_shapes(_known(inputs[0]), tuple(target)), inputs[0].dtype)]


def _tile(node: Node, inputs: list[Fact]) -> list[Fact]:
    repeats = _ints(node, "repeats", 1, inputs) or []
    return [Fact(tuple(d * r for d, r in zip(_known(inputs[0]), repeats, strict=True)), inputs[0].dtype)]


def _concat(node: Node, inputs: list[Fact]) -> list[Fact]:
    shapes = [list(_known(f)) for f in inputs]
    axis = node.attrs["axis"] % len(shapes[0])
    shapes[0][axis] = sum(s[axis] for s in shapes)
    return [Fact(tuple(shapes[0]), inputs[0].dtype)]


def _gather(node: Node, inputs: list[Fact]) -> list[Fact]:
    data, index = _known(inputs[0]), _known(inputs[1])
    axis = node.attrs.get("axis", 0) % len(data)
    return [Fact((*data[:axis], *index, *data[axis + 1 :]), inputs[0].dtype)]


def _gather_elements(node: Node, inputs: list[Fact]) -> list[Fact]:
    data, index = _known(inputs[0]), _known(inputs[1])
    axis = node.attrs.get("axis", 0) % len(data)
    for k, (size, asked) in enumerate(zip(data, index, strict=True)):
        if k != axis and asked > size:
            raise Conflict(asked, size)
    return [Fact(index, inputs[0].dtype)]


def _gather_nd(node: Node, inputs: list[Fact]) -> list[Fact]:
    data, index = _known(inputs[0]), _known(inputs[1])
    first = node.attrs.get("batch_dims", 0) + index[-1]
    if first > len(data):
        raise ValueError("an index of more axes than there are")
    return [Fact((*index[:-1], *data[first:]), inputs[0].dtype)]


def slice_bounds(node: Node, values: Sequence[Array | None]) -> tuple[Sequence[int], ...]:
    """Slice's starts, ends, axes and steps, from attributes (until opset 9) or inputs."""
    if "starts" in node.attrs:
        starts, ends = node.attrs["starts"], node.attrs["ends"]
        return starts, ends, node.attrs.get("axes", range(len(starts))), [1] * len(starts)
    given: list[list[int] | None] = []
    for k, tensor in enumerate(node.inputs[1:], start=1):
        value = values[k] if tensor.name else None
        if tensor.name and value is None:
            raise ValueError("slice bounds are not known")
        given.append(None if value is None else [int(v) for v in np.ravel(value)])
    first, last, axes, steps = [*given, None, None][:4]
    count = len(first or ())
    return first or [], last or [], axes or range(count), steps or [1] * count


def slice_ranges(node: Node, values: Sequence[Array | None], shape: Shape) -> dict[int, range]:
    """The indices that Slice takes along each sliced axis; ValueError when they are not known."""
    starts, ends, axes, steps = slice_bounds(node, values)
    out: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = int(axis) % len(shape)
        out[place] = range(*slice(int(start), int(end), int(step)).indices(shape[place]))
    return out


def _slice(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape = list(_known(inputs[0]))
    for axis, taken in slice_ranges(node, [f.value for f in inputs], tuple(shape)).items():
        shape[axis] = len(taken)
    return [Fact(tuple(shape), inputs[0].dtype)]


def split_sizes(node: Node, inputs: Sequence[Fact]) -> tuple[int, list[int]]:
    """The axis that Split cuts and the sizes of its parts."""
    shape = _known(inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    sizes = _ints(node, "split", 1, inputs)
    if sizes is None:
        count = len(node.outputs)
        step = -(-shape[axis] // count)
        sizes = [min(step, shape[axis] - k * step) for k in range(count)]
    return axis, sizes


def _split(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape = _known(inputs[0])
    axis, sizes = split_sizes(node, inputs)
    return [Fact((*shape[:axis], size, *shape[axis + 1 :]), inputs[0].dtype) for size in sizes]


def _shape_of(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape = _known(inputs[0])
    return [of_array(np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))], np.int64))]


def _size_of(node: Node, inputs: list[Fact]) -> list[Fact]:
    return [of_array(np.array(np.prod(_known(inputs[0]), dtype=np.int64), np.int64))]


def pads_of(node: Node, inputs: Sequence[Fact]) -> list[int]:
    """Pad's amounts, begins then ends, for every axis."""
    rank = len(_known(inputs[0]))
    pads = _ints(node, "pads", 1, inputs) or []
    axes = _ints(node, "axes", 3, inputs) if len(node.inputs) > 3 else None
    if axes is None:
        return pads
    out = [0] * (2 * rank)
    for k, axis in enumerate(axes):
        out[axis % rank], out[axis % rank + rank] = pads[k], pads[k + len(axes)]
    return out


def _pad(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape, pads = _known(inputs[0]), pads_of(node, inputs)
    dims = tuple(d + pads[i] + pads[i + len(shape)] for i, d in enumerate(shape))
    return [Fact(dims, inputs[0].dtype)]


def _same(node: Node, inputs: list[Fact]) -> list[Fact]:
    return [Fact(inputs[0].shape, inputs[0].dtype)]


def reduced_axes(node: Node, inputs: Sequence[Fact]) -> tuple[int, ...]:
    """The axes that a reduction sums over."""
    rank = len(_known(inputs[0]))
    axes = _ints(node, "axes", 1, inputs)
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(a % rank for a in axes))


def _reduce(node: Node, inputs: list[Fact]) -> list[Fact]:
    shape, axes = _known(inputs[0]), reduced_axes(node, inputs)
    keep = node.attrs.get("keepdims", 1)
    dims = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    return [Fact(dims, inputs[0].dtype)]


ShapeRule = Callable[[Node, list[Fact]], list[Fact]]
SHAPES: dict[str, ShapeRule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(SAME_SHAPE, _same),
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape_of,
    "Size": _size_of,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
