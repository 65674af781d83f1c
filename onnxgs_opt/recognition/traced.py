"""Tensors that hold elements of another one, traced to it: which element each is, and which layout that makes.

Arrays broadcast to what they describe; an axis of 1 is one along which they do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import TypeVar

import numpy as np

from onnxgs_opt.ir.def_use import Array, Scope, reads_of
from onnxgs_opt.ir.operators import ARITHMETIC, BOUNDED, CARRIES, MOVES, operator
from onnxgs_opt.recognition.broadcast import mixed, squashed
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.linear_form import Form, NoForm, reshaped
from onnxgs_opt.recognition.linear_forms import Forms
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.view import View, ramp

T = TypeVar("T")
B = TypeVar("B")
LAYOUT = frozenset(("Concat", "Gather")) | MOVES
"""What brings elements elsewhere."""

ADDS = (ARITHMETIC & CARRIES) - BOUNDED | LAYOUT
"""What may be between a tensor and what it is the sum of, with what is fixed."""


MOST = 2**24
"""Elements of one array of places."""


def first_of(made: Callable[[B], T], bases: Iterable[B], none: str) -> T:
    """What is made of the first that it can be made of; NoForm, by the reason of the first, where of `none`."""
    why: NoForm | None = None
    for base in bases:
        try:
            return made(base)
        except NoForm as reason:
            why = why or reason
    raise why or NoForm(none)


def fades(policy: Policy) -> bool:
    """Whether a sampler is that of an image with zeros around it: a window, if any, cuts nothing off."""
    return policy.border == "zeros" and policy.window in ("all", "reach", "reach-closed")


def origins(scope: Scope, values: FixedValues, name: str, through: frozenset[str] = ADDS) -> list[str]:
    """A tensor, then those that it is made of alone, beside what is fixed: the farthest last."""
    known: dict[str, list[str]] = {}
    for node in scope.backward_slice([name]):
        sources = _sources(values, [t.name for t in node.inputs if t.name], operator(node))
        chains = [known.get(source, [source]) for source in sources] if operator(node) in through else []
        common = [tensor for tensor in chains[0] if all(tensor in other for other in chains[1:])] if chains else []
        known |= {t.name: [t.name, *common] for t in node.outputs}
    return known.get(name, [name])


def _sources(values: FixedValues, names: Sequence[str], op: str) -> list[str]:
    names = names[:1] if op in MOVES else names
    return list(dict.fromkeys(name for name in names if not values.is_fixed(name)))


def elements(forms: Forms, name: str) -> tuple[Form, Array]:
    """The form of a tensor that holds one element of the base at each place, and what that is multiplied with.

    Raises:
        NoForm: It holds something else.
    """
    form = forms.traced(name)
    if len(form.terms) != 1:
        raise NoForm(f"'{name}' is a sum of several elements of '{forms.base}'")
    ones = np.ones([1] * len(form.shape))
    return form, reduce(np.multiply, form.terms[0].factors, ones)


def check_apart(scope: Scope, output: str, samples: Collection[str], operands: Collection[str]) -> None:
    """NoForm where an operand of `output` is made of the samples, or is only what another one is made of."""
    first = min(scope.order[name] for name in samples)
    read = {t.name for node in of_claim(scope, output, operands) for t in node.inputs}
    if not read.issuperset(operands):
        raise NoForm("one of its operands is made of another one, and of nothing else")
    pending, seen = list(operands), set[str]()
    while pending:
        name = pending.pop()
        if name in samples:
            raise NoForm("an operand of it is made of its own samples")
        if name not in seen and scope.order.get(name, -1) > first:
            seen.add(name)
            pending += [t.name for t in reads_of(scope.producer[name][0])]


def taken(array: Array, index: Sequence[Array]) -> Array:
    """The elements of an array at an index for each of its last axes; what broadcasts has the same at all."""
    used = index[len(index) - array.ndim :]
    places = [
        np.zeros([1] * at.ndim, np.int64) if size == 1 else at for at, size in zip(used, array.shape, strict=True)
    ]
    if prod(np.broadcast_shapes(*(at.shape for at in places))) > MOST:
        raise NoForm("it has more elements than are looked at")
    return squashed(array[tuple(np.broadcast_arrays(*places))] if places else array)


def divisors(number: int) -> list[int]:
    """The divisors of a number, in rising order."""
    return [k for k in range(1, number + 1) if number % k == 0]


def canonical(view: View, array: Array, shape: Sequence[int]) -> Array:
    """What broadcasts to a tensor of `shape` as what broadcasts to the operand that a view makes of it."""
    if view.repeats or any(view.steps):
        raise NoForm("the points are those of another axis, too")
    if view.parts != 1:
        raise NoForm(f"'{view.tensor}' counts parts of a pixel")
    dims = [int(size or 0) for size in view.split_dims(shape)]
    if view.split is not None:
        array = reshaped(array, shape, dims)
    units = [axis for axis in range(view.rank) if axis not in view.order]
    array = array.transpose([*view.order, *units]).reshape([array.shape[a] for a in view.order])
    kept = [dims[a] for a in view.order]
    return reshaped(array, kept, [prod(dims[a] for a in group) for group in view.groups])


@dataclass(frozen=True)
class Laid:
    """A tensor as [N, channels, Ho, Wo]: the view, how many channels that has, and which one each place takes."""

    view: View
    channels: int
    table: Array


def laid_out(name: str, shape: Sequence[int], index: Sequence[Array], sizes: tuple[int, int, int]) -> Laid:
    """The layout of a tensor whose elements at `index` are wanted along [N, ..., Ho, Wo], of `sizes` N, Ho and Wo.

    `index` has an array for each axis of the tensor.

    Raises:
        NoForm: They stand otherwise: along one axis of the tensor lie two of the result, or none.
    """
    rank = index[0].ndim
    batch, height, width = sizes
    along = {0: batch, rank - 2: height, rank - 1: width}
    wanted = {axis: ramp(axis, np.arange(size), rank) for axis, size in along.items()}
    both = wanted[rank - 2] * width + wanted[rank - 1]
    made: dict[int, tuple[int, ...]] = {}
    channels: list[int] = []
    split: tuple[int, tuple[int, ...]] | None = None
    for axis, (array, size) in enumerate(zip(index, shape, strict=True)):
        own = next((k for k, ramp in wanted.items() if k not in made and _is(array, ramp, size) and size > 1), None)
        if own is not None:
            made[own] = (axis,)
        elif size == height * width and min(height, width) > 1 and _is(array, both, size) and split is None:
            split = axis, (height, width)
        elif size > 1 and any(array.shape[k] > 1 for k in wanted):
            raise NoForm(f"'{name}' has its elements along other axes than the samples")
        elif size > 1:
            channels.append(axis)
    table = mixed([index[a] for a in channels], [shape[a] for a in channels], rank)
    moved = [a + (split is not None and a > split[0]) for a in range(len(shape))]
    places = {k: tuple(moved[a] for a in group) for k, group in made.items()}
    if split is not None:
        places |= {rank - 2: (split[0],), rank - 1: (split[0] + 1,)}
    lacking = [size for k, size in zip((0, rank - 2, rank - 1), sizes, strict=True) if size > 1 and k not in places]
    if lacking:
        raise NoForm(f"'{name}' does not have an element of its own for every sample")
    groups = (places.get(0, ()), tuple(moved[a] for a in channels), *(places.get(k, ()) for k in (rank - 2, rank - 1)))
    units = len(shape) + (split is not None) - sum(map(len, groups))
    return Laid(View(name, groups, split, units), prod(shape[a] for a in channels), table)


def _is(array: Array, ramp: Array, size: int) -> bool:
    return size == ramp.size and array.shape == ramp.shape and np.array_equal(array, ramp)
