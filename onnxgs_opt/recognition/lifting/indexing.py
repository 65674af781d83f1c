"""Index-space rules: where element `index` of an operator's output stands in its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.operators import READS
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule, Rule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact, pads_of, slice_ranges, split_sizes
from onnxgs_opt.recognition.lifting.tables import exact


def _facts(lift: Lift, node: Node) -> list[Fact]:
    return [lift.facts.get(t.name, UNKNOWN) if t.name else UNKNOWN for t in node.inputs]


def _identity(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    return lift.value(node.inputs[0].name, index)


def _transpose(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    perm = node.attrs.get("perm", range(len(index))[::-1])
    source = dict(zip(perm, index, strict=True))
    return lift.value(node.inputs[0].name, tuple(source[axis] for axis in range(len(index))))


def _reshape(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """Reshape, Flatten, Squeeze and Unsqueeze: matching runs of dims are ravelled and unravelled."""
    source = node.inputs[0].name
    old, new = lift.shape(source), lift.shape(node.outputs[0].name)
    if math.prod(old) != math.prod(new) or not math.prod(old):
        raise ValueError("sizes differ")
    return lift.value(source, reindex(lift, index, old, new))


def reindex(lift: Lift, index: Index, old: tuple[int, ...], new: tuple[int, ...]) -> Index:
    """The index into shape `old` of what stands at `index` in shape `new`."""
    out: list[Expr] = []
    i = j = 0
    while i < len(old) or j < len(new):
        i_end, j_end = next_run(old, new, i, j)
        linear = lift.algebra.ravel(index[j:j_end], new[j:j_end])
        out.extend(lift.algebra.unravel(linear, old[i:i_end]))
        i, j = i_end, j_end
    return tuple(out)


def next_run(old: tuple[int, ...], new: tuple[int, ...], i: int, j: int) -> tuple[int, int]:
    """The ends of the shortest runs from i and j that hold as many elements."""
    left = right = 1
    i_end, j_end = i, j
    while True:
        if left == right and i_end > i and j_end > j:
            return i_end, j_end
        if left <= right and i_end < len(old):
            left *= old[i_end]
            i_end += 1
        elif j_end < len(new):
            right *= new[j_end]
            j_end += 1
        else:
            return len(old), len(new)


def _expand(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    source = node.inputs[0].name
    return lift.value(source, lift.broadcast(source, index))


def _tile(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    source = node.inputs[0].name
    shape = lift.shape(source)
    return lift.value(source, tuple(lift.algebra.remainder(i, d) for i, d in zip(index, shape, strict=True)))


def _slice(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    source = node.inputs[0].name
    shape = lift.shape(source)
    taken = slice_ranges(node, [f.value for f in _facts(lift, node)], shape)
    steps = [taken.get(axis, range(size)) for axis, size in enumerate(shape)]
    algebra = lift.algebra
    return lift.value(
        source, tuple(algebra.add(algebra.num(r.start), i, r.step) for i, r in zip(index, steps, strict=True))
    )


def _split(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    axis, sizes = split_sizes(node, _facts(lift, node))
    moved = lift.algebra.add(index[axis], lift.algebra.num(sum(sizes[:position])))
    return lift.value(node.inputs[0].name, (*index[:axis], moved, *index[axis + 1 :]))


class _Piece(NamedTuple):
    """A part of a concatenation: where along its axis it begins, its tensor, and the index into that."""

    start: int
    size: int
    name: str
    at: Index


def _concat(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    algebra, axis = lift.algebra, node.attrs["axis"] % len(index)
    along, start = index[axis], 0
    pieces: list[_Piece] = []
    for tensor in node.inputs:
        size = lift.shape(tensor.name)[axis]
        local = algebra.sub(along, algebra.num(start))
        begins = algebra.ge(local) is not algebra.zero
        if begins and size and (along.lo is None or along.lo < start + size):
            inner = (*index[:axis], local if size > 1 else algebra.zero, *index[axis + 1 :])
            pieces.append(_Piece(start, size, tensor.name, inner))
        start += size
    if not pieces:
        raise ValueError("index outside the concatenation")
    whole = _of_one(lift, pieces, along) if len(pieces) > 1 and along.value is None else None
    if whole is not None:
        return lift.value(*whole)
    return _by_cases(algebra, along, pieces, [lift.value(piece.name, piece.at) for piece in pieces])


def _by_cases(algebra: Algebra, along: Expr, pieces: Sequence[_Piece], values: Sequence[Expr]) -> Expr:
    """Of the values of pieces that of the last that begins at or before `along`."""
    out = values[0]
    for piece, value in zip(pieces[1:], values[1:], strict=True):
        out = algebra.select(algebra.ge(algebra.sub(along, algebra.num(piece.start))), value, out)
    return out


def _of_one(lift: Lift, pieces: Sequence[_Piece], along: Expr) -> tuple[str, Index] | None:
    """The element of the one tensor that all pieces are of, as margins and rotations are; None of others.

    TorchScript writes all windows of an axis as such pieces, each so many pixels behind the one before.
    """
    if len(pieces) > MAX_PIECES and any(piece.size > 1 for piece in pieces):
        return None
    elements = [lift.moved(piece.name, piece.at) for piece in pieces]
    names = {str(element.args[0]) for element in elements if element.op == "elem"}
    if len(names) != 1 or any(element.op != "elem" for element in elements):
        return None
    (name,), places = names, [cast("Index", element.args[1]) for element in elements]
    if len(places[0]) != len(lift.shape(name)):
        return None
    at = _rising(lift.algebra, along, pieces, places)
    if at is None and along.leaves and len(pieces) <= MAX_PIECES:
        at = tuple(_by_cases(lift.algebra, along, pieces, axis) for axis in zip(*places, strict=True))
    return None if at is None else (name, at)


def _rising(algebra: Algebra, along: Expr, pieces: Sequence[_Piece], places: Sequence[Index]) -> Index | None:
    """The place in a tensor of what is `along` three single pieces or more that lie at equal distances there."""
    if len(pieces) < FEWEST or any(piece.size > 1 for piece in pieces):
        return None
    steps = [algebra.sub(b, a).value for a, b in zip(*places[:2], strict=True)]
    if None in steps:
        return None
    known = [(i, step) for i, step in zip(places[0], steps, strict=True) if step is not None]
    for k, place in enumerate(places):
        if place != tuple(algebra.add(i, algebra.num(k), step) for i, step in known):
            return None
    further = algebra.sub(along, algebra.num(pieces[0].start))
    return tuple(algebra.add(i, further, step) for i, step in known)


def _wrapped(lift: Lift, i: Expr, size: int) -> Expr:
    """A gather's index: negative ones count from the end."""
    if i.lo is not None and i.lo >= 0:
        return i
    algebra = lift.algebra
    return algebra.select(algebra.ge(i), i, algebra.add(i, algebra.num(size)))


def _gather(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    data, indices = (t.name for t in node.inputs)
    shape, rank = lift.shape(data), len(lift.shape(indices))
    axis = node.attrs.get("axis", 0) % len(shape)
    i = lift.value(indices, index[axis : axis + rank])
    if _is_turn(i):
        raise NoRule("one item of a batch, the loop's own, is an image by itself")
    return lift.value(data, (*index[:axis], _wrapped(lift, i, shape[axis]), *index[axis + rank :]))


def _is_turn(i: Expr) -> bool:
    """Whether an index is the same integer for every element, one that the model is given, such as a loop's counter."""
    return bool(i.leaves) and all(_is_single(leaf) for leaf in i.leaves)


def _is_single(leaf: Expr) -> bool:
    index = cast("Index", leaf.args[1])
    return leaf.integral and all(k.value is not None for k in index)


def _gather_elements(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    data, indices = (t.name for t in node.inputs)
    shape = lift.shape(data)
    axis = node.attrs.get("axis", 0) % len(shape)
    i = _wrapped(lift, lift.value(indices, index), shape[axis])
    return lift.value(data, (*index[:axis], i, *index[axis + 1 :]))


def _gather_nd(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    data, indices = (t.name for t in node.inputs)
    shape, inner = lift.shape(data), lift.shape(indices)
    batch, depth = node.attrs.get("batch_dims", 0), inner[-1]
    where = index[: len(inner) - 1]
    parts = [_wrapped(lift, lift.value(indices, (*where, lift.algebra.num(k))), shape[batch + k]) for k in range(depth)]
    return lift.value(data, (*index[:batch], *parts, *index[len(inner) - 1 :]))


def _reverse_sequence(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """Backwards along one axis, where every sequence is as long as that."""
    source, lengths = node.inputs[0].name, lift.facts.get(node.inputs[1].name, UNKNOWN).value
    axis = int(node.attrs.get("time_axis", 0))
    last = lift.shape(source)[axis] - 1
    if lengths is None or (lengths != last + 1).any():
        raise NoRule("sequences of several lengths")
    turned = lift.algebra.sub(lift.algebra.num(last), index[axis])
    return lift.value(source, (*index[:axis], turned, *index[axis + 1 :]))


def _pad(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    source = node.inputs[0].name
    shape, mode = lift.shape(source), node.attrs.get("mode", "constant")
    pads = pads_of(node, _facts(lift, node))
    algebra = lift.algebra
    inside = algebra.one
    inner: list[Expr] = []
    for axis, (i, size) in enumerate(zip(index, shape, strict=True)):
        begin, end = pads[axis], pads[axis + len(shape)]
        if not begin and not end:
            inner.append(i)
            continue
        j = algebra.sub(i, algebra.num(begin))
        last = algebra.num(size - 1)
        inside = algebra.mul(inside, algebra.mul(algebra.ge(j), algebra.ge(algebra.sub(last, j))))
        inner.append(_padded(lift, mode, j, last))
    out = lift.value(source, tuple(inner))
    if mode != "constant" or inside is algebra.one:
        return out
    return algebra.select(inside, out, _fill(lift, node))


def _padded(lift: Lift, mode: str, j: Expr, last: Expr) -> Expr:
    algebra = lift.algebra
    if mode == "constant":
        return j
    if mode == "edge":
        return algebra.minimum(algebra.maximum(j, algebra.zero), last)
    if mode == "reflect":
        positive = algebra.absolute(j)
        return algebra.sub(last, algebra.absolute(algebra.sub(last, positive)))
    raise ValueError(f"pad mode {mode}")


def _fill(lift: Lift, node: Node) -> Expr:
    if "value" in node.attrs:
        return lift.algebra.num(exact(float(node.attrs["value"])))
    if len(node.inputs) > 2 and node.inputs[2].name:
        return lift.value(node.inputs[2].name, (lift.algebra.zero,) * len(lift.shape(node.inputs[2].name)))
    return lift.algebra.zero


def _taken(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """A gather at fixed places, which only moves."""
    if lift.facts.get(node.inputs[1].name, UNKNOWN).value is None:
        raise NoRule("it reads where data say")
    return _gather(lift, node, position, index)


FEWEST, MAX_PIECES = 3, 8
"""Pieces of one tensor that are looked at for equal distances; and the most that are told apart by cases."""

LAYOUT: dict[str, Rule] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}

MOVING: dict[str, Rule] = {name: rule for name, rule in LAYOUT.items() if name not in READS} | {"Gather": _taken}
"""What brings elements elsewhere, wherever that is."""
