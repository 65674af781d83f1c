"""Window rules: an element of a pooling or of a convolution by a few fixed weights as the elements in its window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial, reduce

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.lifting.reduction import MAX_UNROLLED
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule, Rule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.lifting.tables import exact

PLAIN = ("NOTSET", "VALID", b"NOTSET", b"VALID")
"""What `auto_pad` is where nothing is padded by itself."""


def _pool(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """The mean of the elements in a window, whatever the stride; what is padded counts as 0, or no window is."""
    if any(node.attrs.get("pads", ())) and not node.attrs.get("count_include_pad"):
        raise NoRule("windows of several sizes")
    return _mean(lift.algebra, list(_pooled(lift, node, position, index)))


def _mean(algebra: Algebra, parts: Sequence[Expr]) -> Expr:
    return algebra.scale(reduce(algebra.add, parts, algebra.zero), Fraction(1, len(parts)))


def _max_pool(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """The largest element in a window that lies inside."""
    if any(node.attrs.get("pads", ())):
        raise NoRule("a padded window")
    first, *rest = _pooled(lift, node, position, index)
    for part in rest:
        if not _is_one_number(first, part):
            raise NoRule("the larger of two coordinates is one by itself")
        first = lift.algebra.maximum(first, part)
    return first


def _pooled(lift: Lift, node: Node, position: int, index: Index) -> Iterator[Expr]:
    """The elements in a pooling's window at `index`, 0 for what is padded."""
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    if position or node.attrs.get("ceil_mode") or math.prod(kernel) > MAX_UNROLLED:
        raise NoRule("a large window, or one that is cut off")
    if node.attrs.get("auto_pad", "NOTSET") not in PLAIN:
        raise NoRule("a padded window")
    for taken in np.ndindex(*kernel):
        at, inside = _inside(lift, node, tuple(_moved(lift.algebra, node, index[2:], taken)))
        value = lift.value(node.inputs[0].name, (*index[:2], *at))
        yield lift.algebra.select(inside, value, lift.algebra.zero)


def _moved(algebra: Algebra, node: Node, index: Sequence[Expr], taken: Sequence[int]) -> Iterator[Expr]:
    """The index along each spatial axis of element `taken` of the window at `index`, before any padding."""
    whole = [1] * len(index)
    steps, gaps = (node.attrs.get(name, whole) for name in ("strides", "dilations"))
    for i, k, step, gap in zip(index, taken, steps, gaps, strict=True):
        yield algebra.add(algebra.num(k * gap), i, step)


def _global_pool(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """The mean over all axes behind the second."""
    source = node.inputs[0].name
    sizes = lift.shape(source)[2:]
    if not 0 < math.prod(sizes) <= MAX_UNROLLED:
        raise NoRule("a long reduction")
    places = np.ndindex(*sizes)
    return _mean(lift.algebra, [lift.value(source, (*index[:2], *map(lift.algebra.num, at))) for at in places])


def _convolution(lift: Lift, node: Node, position: int, index: Index, most: int) -> Expr:
    """The weighted sum of up to `most` elements, by weights that are constants; where several mix, they are reads."""
    algebra, source = lift.algebra, node.inputs[0].name
    item, channel, *spatial = index
    group, channels, weights = _weights_at(lift, node, channel)
    places = np.argwhere(weights)
    if len(places) > most or node.attrs.get("auto_pad", "NOTSET") not in PLAIN:
        raise NoRule("a large convolution")
    bias = [t.name for t in node.inputs[2:] if t.name]
    total = lift.value(bias[0], (channel,)) if bias else algebra.zero
    for among, *taken in places.tolist():
        inner = algebra.add(algebra.num(among), group, channels)
        at, inside = _inside(lift, node, tuple(_moved(algebra, node, spatial, taken)))
        part = algebra.select(inside, lift.value(source, (item, inner, *at)), algebra.zero)
        if not _is_one_number(total, part):
            raise NoRule("a coordinate made of several is one by itself")
        total = algebra.add(total, part, exact(weights[(among, *taken)]))
    return total


def _weights_at(lift: Lift, node: Node, channel: Expr) -> tuple[Expr, int, Array]:
    """The group of an output channel, the channels that a group reads, and the weights of these and of the window."""
    weights = lift.facts.get(node.inputs[1].name, UNKNOWN).value
    if weights is None:
        raise NoRule("its weights are not at hand")
    count = int(node.attrs.get("group", 1))
    group, among = lift.algebra.unravel(channel, (count, weights.shape[0] // count))
    each = weights.reshape(count, -1, *weights.shape[1:])
    for axis, place in enumerate((group, among)):
        taken = np.take(each, [0 if place.value is None else int(place.value)], axis)
        if place.value is None and not (each == taken).all():
            raise NoRule("its channels have weights of their own")
        each = taken
    return group, weights.shape[1], each[0, 0]


def _inside(lift: Lift, node: Node, index: Index) -> tuple[Index, Expr]:
    """The index without what is padded in front, and 1 where it is inside."""
    algebra, sizes = lift.algebra, lift.shape(node.inputs[0].name)[2:]
    pads = node.attrs.get("pads", [0] * 2 * len(index))
    if not any(pads):
        return index, algebra.one
    at = tuple(algebra.sub(i, algebra.num(pad)) for i, pad in zip(index, pads[: len(index)], strict=True))
    inside = algebra.one
    for i, size in zip(at, sizes, strict=True):
        inside = algebra.mul(inside, algebra.mul(algebra.ge(i), algebra.ge(algebra.sub(algebra.num(size - 1), i))))
    return at, inside


def _is_one_number(a: Expr, b: Expr) -> bool:
    """Whether two parts make no new coordinate: what mixes two before any is rounded is a coordinate by itself."""
    return not (a.leaves and b.leaves) or a.floored or b.floored or a.leaves == b.leaves


def _shift(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """A convolution that only brings elements elsewhere: by a single weight of 1."""
    _, _, weights = _weights_at(lift, node, index[1])
    if len(node.inputs) > 2 or np.count_nonzero(weights) != 1 or weights.sum() != 1:
        raise NoRule("it computes what is read")
    return _convolution(lift, node, position, index, 1)


WINDOWS: dict[str, Rule] = {
    "AveragePool": _pool,
    "Conv": partial(_convolution, most=MAX_UNROLLED),
    "GlobalAveragePool": _global_pool,
    "MaxPool": _max_pool,
}
SHIFTS: dict[str, Rule] = {"Conv": _shift}
"""Those through which a read is followed to its image."""
