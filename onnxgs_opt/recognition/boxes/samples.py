"""Bilinear samples in boxes: samplers with a coordinate for rows and one for columns, also where data choose images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.axes import axes_along
from onnxgs_opt.recognition.boxes.lines import Along
from onnxgs_opt.recognition.candidates import picked
from onnxgs_opt.recognition.cone import reach
from onnxgs_opt.recognition.coordinates import choosers, coordinates_of
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact, float_types
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.match import Axis, Match, Miss
from onnxgs_opt.recognition.matcher import reads_of, recognise
from onnxgs_opt.recognition.precision import inexact
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import AS_IT_IS, BILINEAR, Site, StructuralSite
from onnxgs_opt.samplers.view import View

Lifts = Callable[[], Lift]
"""Makes a lift of the graph at one set of sizes."""

FEWEST = 4
"""Reads of a bilinear sample."""

FAR = 2**20
"""Numbers beyond those of the images that are looked at."""

LEAVES = "GSO114"
"""The code of reads that leave the image: a model fails there."""


@dataclass(frozen=True)
class Samples:
    """Bilinear samples in boxes, before anything is made of them; axes are those of the tensor that holds them.

    `batch` are the axes along which another image is read, `boxes` further ones of boxes. `inner` is what else is known
    of them. `exact_below` is the largest index that its type holds, of those whose image data choose.
    """

    output: str
    inner: Any
    image: View
    items: View | None
    policy: Policy
    types: tuple[str, ...]
    batch: tuple[int, ...]
    boxes: tuple[int, ...]
    channels: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    y: Along
    x: Along
    exact_below: int | None = None


def of_sampler(site: Site) -> Samples | None:
    """A bilinear sampler whose rows depend on one coordinate and whose columns on the other; None for all others."""
    if site.kernels != BILINEAR or site.affine != AS_IT_IS or site.x is None or site.y is None:
        return None
    if any((*site.x.steps, *site.y.steps)) or (site.x.parts, site.y.parts) != (1, 1):
        return None
    y, x = (_along(site, view) for view in (site.y, site.x))
    apart = _apart([axis for group in (0, 2, 3) for axis in site.output_groups[group]], y, x)
    batch = site.output_groups[0]
    if apart is None or not set(batch) <= set(apart[0]):
        return None
    return Samples(
        output=site.output,
        inner=site,
        image=site.image,
        items=None,
        policy=site.policy,
        types=site.types,
        batch=batch,
        boxes=tuple(axis for axis in apart[0] if axis not in batch),
        channels=site.output_groups[1],
        rows=apart[1],
        columns=apart[2],
        y=y,
        x=x,
    )


def _along(site: Site, view: View) -> Along:
    groups = [group for k, group in enumerate(site.output_groups) if k != 1]
    pairs = (pair for own, its in zip(groups, view.groups, strict=True) for pair in zip(own, its, strict=False))
    axes = {own: at for own, at in pairs if at not in view.repeated}
    return Along(view.tensor, view.rank - len(view.repeats), axes, view.split, view.shift)


Apart = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _apart(every: Iterable[int], y: Along, x: Along) -> Apart | None:
    """The axes that both coordinates lie along, only y's, and only x's; None where neither has one of its own."""
    axes = list(every)
    both = tuple(axis for axis in axes if axis in y.axes and axis in x.axes)
    rows, columns = (tuple(a for a in axes if a in own.axes and a not in both) for own in (y, x))
    return (both, rows, columns) if rows or columns else None


def of_sum(scope: Scope, facts: Mapping[str, Fact], site: StructuralSite, output: str | None = None) -> Samples | None:
    """The samples that a sum of reads makes, or what goes on from it does, where data choose which image is read.

    The last tensor that holds samples, by which a window may be decided, or just `output`; None where there is none.
    """
    if len(site.reads) < FEWEST:
        return None
    best = None
    lifts = partial(Lift, scope, facts, ends=picked(scope, everywhere=True))
    for node in reach(scope, scope.producer[site.output][0]):
        name = node.outputs[0].name
        if output in (None, name):
            found = _chosen(scope, lifts, site, name)
            if found is None:
                break
            best = found
    return best


def _chosen(scope: Scope, lifts: Lifts, site: StructuralSite, output: str) -> Samples | None:
    """The samples of images that data choose which `output` holds: of whatever image, by a variable of its own."""
    item = _item(scope, lifts(), output)
    if item is None:
        return None
    algebra = Algebra()
    lift, root, own = _where(lifts, output, item, range(item.count), algebra)
    match = recognise(algebra, root)
    if isinstance(match, Miss) or inexact(lift, match) is not None:
        return None
    from_last = _where(lifts, output, item, range(-item.count, 0), algebra)[1]
    if from_last is not root and recognise(algebra, from_last) != match:
        return None
    if (
        not match.is_plain
        or match.kernels != BILINEAR
        or match.index[item.axis] is not algebra.idx(len(own), item.count)
    ):
        return None
    if not _fails_beyond(lifts, output, item):
        return None
    y, x = (_tensor_of(lift, along) for along in match.axes)
    channels = _channels(match, item.axis, own)
    if y is None or x is None or channels is None:
        return None
    apart = _apart([axis for axis in _variables(own) if axis not in channels], y, x)
    items = None if apart is None else _items(lift, item, apart[0])
    if apart is None or items is None or {*apart[0], *apart[1], *apart[2], *channels} != {*_variables(own)}:
        return None
    cone = of_claim(scope, output, {match.image, y.tensor, x.tensor})
    return Samples(
        output=output,
        inner=site,
        image=_image(match, item, tuple(channels.values())),
        items=items,
        policy=match.policy,
        types=float_types([lift.facts.get(a.tensor, UNKNOWN) for a in (y, x)], cone, lift.facts),
        batch=(),
        boxes=apart[0],
        channels=tuple(channels),
        rows=apart[1],
        columns=apart[2],
        y=y,
        x=x,
        exact_below=lift.exact_below,
    )


@dataclass(frozen=True)
class _Item:
    """An axis of what is read, along which there are `count` images, and the element that says which one is read."""

    axis: int
    count: int
    tensor: str
    index: Index


def _item(scope: Scope, lift: Lift, output: str) -> _Item | None:
    """The first integer that says which image is read; None where there is none that all reads have in common."""
    root, _ = lift.root(output)
    reads = reads_of(root)
    if isinstance(reads, Miss):
        return None
    axis, leaves = _chooser(lift, root, reads)
    held = [at for at, e in lift.values.items() if lift.dtype_kind(at[0]) == "i" and leaves and e.leaves == leaves]
    held = [(name, index) for name, index in held if all(i.value is not None or i.op == "idx" for i in index)]
    sizes: Sequence[int] = reads[0].args[2]  # type: ignore[assignment]
    if not held or not sizes[axis]:
        return None
    name, index = min(held, key=lambda element: scope.order.get(element[0], -1))
    return _Item(axis, sizes[axis], name, index)


def _chooser(lift: Lift, root: Expr, reads: Sequence[Expr]) -> tuple[int, frozenset[Expr]]:
    """The axis of the images among those of what is read, and what says which one is read; nothing where none does.

    It is the one number that all reads have in common, or, where they have one index for all axes, what moves none of
    the weights; the images are its first axis then.
    """
    columns: list[set[Expr]] = [set(column) for column in zip(*(read.args[1] for read in reads), strict=True)]
    common = [(axis, e.leaves) for axis, column in enumerate(columns) if len(column) == 1 for e in column if e.leaves]
    if common:
        return common[0] if len(common) == 1 else (0, frozenset())
    found = coordinates_of(lift.algebra, reads)
    free = set() if isinstance(found, Miss) else {c.leaf for c in choosers(root, found)}
    free |= {leaf for read in reads for leaf in read.leaves if leaf.integral}
    return 0, frozenset(free) if len(free) == 1 else frozenset()


def _where(lifts: Lifts, output: str, item: _Item, numbers: range, own: Algebra) -> tuple[Lift, Expr, Index]:
    """What `output` is where the number of the image is one of some numbers, whichever: a variable of its own."""
    lift = lifts()
    lift.algebra = own
    index = tuple(own.num(i.value) if i.value is not None else own.idx(*i.args) for i in item.index)  # type: ignore[arg-type]
    variable = own.idx(len(lift.shape(output)), len(numbers))
    lift.values[item.tensor, index] = own.add(variable, own.num(numbers[0]))
    return lift, *lift.root(output)


def _fails_beyond(lifts: Lifts, output: str, item: _Item) -> bool:
    """Whether a number that is no image's makes the reads leave what is read, so that nothing is computed.

    Of a few single numbers that is told surely, of all of them as far as bounds tell.
    """
    n = item.count
    single = (range(k, k + 1) for k in (n, 2 * n + 1, -n - 1, -2 * n - 1))
    for numbers in (*single, range(n, n + FAR), range(-n - FAR, -n)):
        algebra = Algebra()
        beyond = recognise(algebra, _where(lifts, output, item, numbers, algebra)[1])
        if not isinstance(beyond, Miss) or beyond.code != LEAVES:
            return False
    return True


def _tensor_of(lift: Lift, axis: Axis) -> Along | None:
    """The first tensor of floats that holds a pixel coordinate and lies along axes of the output."""
    pixel = axis.pixel(lift.algebra)
    for (name, index), value in lift.values.items():
        if value is pixel and lift.dtype_kind(name) == "f" and (axes := _axes(index, lift.shape(name))) is not None:
            return Along(name, len(index), axes)
    return None


def _axes(index: Index, shape: Sequence[int]) -> dict[int, int] | None:
    """For axes of the output the one of a tensor that it is; None where the tensor does not lie along such axes."""
    found = axes_along(index, shape)
    return None if found is None else dict(zip(_variables(tuple(found)), found.values(), strict=True))


def _channels(match: Match, items: int, own: Index) -> dict[int, int] | None:
    """For axes of the output the one of the image that is read over it all; None where an axis is read otherwise."""
    found = {}
    for axis, i in enumerate(match.index):
        if i is None or axis == items or (match.sizes[axis] == 1 and i.value == 0):
            continue
        if i.op != "idx" or i.hi != match.sizes[axis] - 1 or i not in own:
            return None
        found[int(i.args[0])] = axis  # type: ignore[call-overload]
    return found


def _image(match: Match, item: _Item, channels: tuple[int, ...]) -> View:
    """The image as [N, C, H, W]; further axes of it are of size 1."""
    groups = ((item.axis,), channels, *((axis.position,) for axis in match.axes))
    return View(match.image, groups, units=len(match.sizes) - sum(map(len, groups)))


def _items(lift: Lift, item: _Item, boxes: Sequence[int]) -> View | None:
    axes = _axes(item.index, lift.shape(item.tensor))
    if axes is None or sorted(axes) != sorted(boxes):
        return None
    return View(item.tensor, (tuple(axes[box] for box in boxes),), units=len(item.index) - len(boxes))


def _variables(index: Index) -> list[int]:
    return [int(i.args[0]) for i in index if i.op == "idx"]  # type: ignore[call-overload]


def same(one: Samples, other: Samples | None) -> bool:
    """Whether samples at two sets of sizes are the same but for the sizes."""
    return other is not None and replace(other, inner=one.inner) == one
