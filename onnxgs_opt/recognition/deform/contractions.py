"""What weighs the samples of a kernel's points: a Conv, a product of matrices or an Einsum, as one sum over columns.

out[n, g, o, oy, ox] = sum over columns r of weights[g, o, r] * data[n, g, r, oy, ox]: each has the columns along axes
of its own, and perhaps both positions in one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.ir.operators import einsum_letters, operator
from onnxgs_opt.recognition.broadcast import apart, spread, squashed, wide
from onnxgs_opt.recognition.linear_form import NoForm

LEAD = 2
"""Axes in front of the columns: the item and the group."""

PLANE = 2
"""Axes of the positions behind them, where the contraction has both."""


@dataclass(frozen=True)
class Contraction:
    """One node that sums products of samples and weights.

    Attributes:
        node: The node.
        data: The tensor of the samples.
        weights: The tensor of the weights.
        perm: The order in which the weights' axes are the group and the output channel, then the columns'.
        items: How many items there are.
        groups: How many groups the output channels are in.
        columns: The sizes of the axes that are summed, without the groups.
        positions: The sizes of the axes of positions: those of y and x, or one for both.
        output_groups: For each axis of the result those of [N, O, Ho, Wo] that it holds.
        steps: For each axis of the data how it comes apart.
    """

    node: Node
    data: str
    weights: str
    perm: tuple[int, ...]
    items: int
    groups: int
    columns: tuple[int, ...]
    positions: tuple[int, ...]
    output_groups: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...] = field(repr=False)

    @property
    def bias(self) -> str:
        """The tensor of the bias that the node adds; empty where it adds none."""
        inputs = self.node.inputs
        return inputs[2].name if len(inputs) > LEAD else ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The data spread out: [N, groups, *columns, *positions]."""
        return (self.items, self.groups, *self.columns, *self.positions)

    def of_items(self, items: int) -> Contraction:
        """The same with the items, which stand in one axis with the positions, in one of their own."""
        last = len(self.shape) - 1
        index = np.arange(self.positions[0]).reshape(items, -1)
        steps = (Step((0, last), index) if step.places == (last,) else step for step in self.steps)
        groups = tuple((0, *own) if PLANE in own else own for own in self.output_groups)
        return replace(self, items=items, positions=index.shape[1:], steps=tuple(steps), output_groups=groups)

    def of_one_item(self) -> Contraction:
        """The same of one item, whose rows were taken for items."""
        last = len(self.shape) - 1
        moved: dict[tuple[int, ...], tuple[int, ...]] = {(0,): (last,), (last,): (last + 1,)}
        steps = (Step(moved.get(step.places, step.places), step.index) for step in self.steps)
        groups = tuple({(0,): (2,), (2, 3): (3,)}.get(own, own) for own in self.output_groups)
        positions = (self.items, *self.positions)
        return replace(self, items=1, positions=positions, steps=tuple(steps), output_groups=groups)

    def spread(self, array: Array) -> Array:
        """What broadcasts to the data as what broadcasts to `shape`."""
        array = wide(array, len(self.steps))
        places: list[int] = []
        for step in self.steps:
            array = apart(array, step.index, len(places))
            places += step.places
        return squashed(spread(array, places, len(self.shape)))


@dataclass(frozen=True)
class Step:
    """How one axis of the data comes apart: into axes `places` of the spread one, the elements at `index` of each."""

    places: tuple[int, ...]
    index: Array


def contraction_of(node: Node, data: str, shapes: Sequence[Sequence[int] | None]) -> Contraction | None:
    """How a node contracts `data` with what else it reads; None where it does not. `shapes` are those of its inputs.

    Raises:
        NoForm: It does so in a way that has no rule.
    """
    names = [t.name for t in node.inputs]
    rule = {"Conv": _conv, "MatMul": _matmul, "Gemm": _gemm, "Einsum": _einsum}.get(operator(node))
    if rule is None or names.count(data) != 1 or len(names) < LEAD:
        return None
    if any(shape is None for shape in shapes[:2]):
        raise NoForm("the shapes of what is weighted are not known")
    return rule(node, names.index(data), [list(shape or ()) for shape in shapes])


def _conv(node: Node, place: int, shapes: Sequence[Sequence[int]]) -> Contraction | None:
    if place:
        return None
    (_, channels, *sizes), (_, inner, *kernel) = shapes[0], shapes[1]
    attrs, count = node.attrs, len(sizes)
    strides, dilations = (list(attrs.get(name, [1] * count)) for name in ("strides", "dilations"))
    if any(attrs.get("pads", ())) or attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", b"NOTSET", b"VALID"):
        raise NoForm("what is convolved is padded once more")
    counts = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in zip(sizes, kernel, strides, dilations, strict=True)]
    groups = channels // inner
    if groups * inner != channels:
        raise NoForm("how many channels are convolved is dynamic, and the kernel has a fixed number")
    spare = [axis for axis in range(count) if counts[axis] == 1][: max(0, count - PLANE)]
    kept = [axis for axis in range(count) if axis not in spare]
    if len(kept) > PLANE:
        raise NoForm("it is convolved along more than two axes")
    first = LEAD + 1 + count
    steps = [Step((0,), np.arange(shapes[0][0])), Step((1, LEAD), np.arange(channels).reshape(groups, inner))]
    for axis in range(count):
        index = strides[axis] * np.arange(counts[axis]) + dilations[axis] * np.arange(kernel[axis])[:, None]
        taken = index if axis in kept else index[:, 0]
        steps.append(Step((LEAD + 1 + axis, *([first + kept.index(axis)] if axis in kept else [])), taken))
    positions = tuple(counts[axis] for axis in kept)
    planes = iter(_planes(len(kept)))
    made = ((0,), (1,), *(next(planes) if axis in kept else () for axis in range(count)))
    names = [t.name for t in node.inputs]
    perm = tuple(range(count + 2))
    items, columns = shapes[0][0], (inner, *kernel)
    return Contraction(node, names[0], names[1], perm, items, groups, columns, positions, made, tuple(steps))


def _planes(count: int) -> tuple[tuple[int, ...], ...]:
    """The axes of [N, O, Ho, Wo] that axes of positions are, of which there are one or two."""
    return ((2,), (3,)) if count == PLANE else ((2, 3),)


def _matmul(node: Node, place: int, shapes: Sequence[Sequence[int]]) -> Contraction | None:
    lead = "npq"[: len(shapes[place]) - 1 - place]
    if len(shapes[1 - place]) != PLANE or len(shapes[place]) < PLANE:
        return None
    letters = (f"{lead}r", "ro", f"{lead}o") if place == 0 else (f"{lead}rz", "or", f"{lead}oz")
    return _lettered(node, place, shapes, letters)


def _gemm(node: Node, place: int, shapes: Sequence[Sequence[int]]) -> Contraction | None:
    attrs = node.attrs
    biased = len(node.inputs) > LEAD and (place or len(shapes[LEAD]) != 1)
    if attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0 or biased:
        return None
    rows = "rz" if attrs.get("transA") else "zr"
    columns = "or" if attrs.get("transB") else "ro"
    if place == 0:
        return _lettered(node, 0, shapes, (rows, columns, "zo"))
    own, other = ("zr", "rz")[not attrs.get("transB")], ("or", "ro")[bool(attrs.get("transA"))]
    return _lettered(node, 1, shapes, (own, other, "oz"))


def _einsum(node: Node, place: int, shapes: Sequence[Sequence[int]]) -> Contraction | None:
    terms, made = einsum_letters(node) or ([], "")
    if len(terms) != LEAD:
        return None
    return _lettered(node, place, shapes, (terms[place], terms[1 - place], made))


def _lettered(
    node: Node, place: int, shapes: Sequence[Sequence[int]], letters: tuple[str, str, str]
) -> Contraction | None:
    """A contraction of the data's, the weights' and the result's axes by letter; None of others than is meant."""
    data, weights, made = letters
    sizes = dict(zip(data, shapes[place], strict=True))
    summed = [a for a in data if a in weights and a not in made]
    places = [a for a in made if a in data and a not in weights]
    own = [a for a in made if a in weights and a not in data]
    if len(own) != 1 or not summed or not places or set(data) != {*summed, *places} or set(weights) != {*summed, *own}:
        return None
    if len(places) > PLANE + 1:
        raise NoForm("it is weighted along more than two axes")
    item = places[:1] if len(places) > 1 else []
    planes = places[len(item) :]
    at = {a: LEAD + k for k, a in enumerate((*summed, *planes))} | dict.fromkeys(item, 0)
    steps = tuple(Step((at[a],), np.arange(sizes[a])) for a in data)
    wholes = dict(zip(planes, _planes(len(planes)), strict=True))
    groups = tuple((0,) if a in item else (1,) if a in own else wholes[a] for a in made)
    names = [t.name for t in node.inputs]
    perm = tuple(weights.index(a) for a in (*own, *summed))
    columns, positions = tuple(sizes[a] for a in summed), tuple(sizes[a] for a in planes)
    items = sizes[item[0]] if item else 1
    return Contraction(node, names[place], names[1 - place], perm, items, 1, columns, positions, groups, steps)
