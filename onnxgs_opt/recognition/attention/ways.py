"""From samplers to the sums of their weighted samples: which nodes lie between, one way for each sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import ORDERED, einsum_letters, operator
from onnxgs_opt.recognition.broadcast import spread
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.recognition.traced import LAYOUT, fades
from onnxgs_opt.samplers.site import BILINEAR, Site

SAMPLES, PRODUCTS, SUMS = range(3)
"""What a tensor holds: samples, weighted ones, or sums of those."""

CONTRACTS = frozenset(("Einsum", "MatMul"))
"""What weighs and sums in one step."""

BEHIND = ORDERED | {"Transpose"}
"""Layout of the sum, which may belong to the output."""

MOST = 64
"""Sums that are tried above the samplers of one graph."""

MOST_NODES = 1024
"""Nodes between samples and sums."""


@dataclass(frozen=True)
class Product:
    """What weighs samples: a node that reads `samples` and `weights`; None where a sampler has the factor itself."""

    node: Node | None
    output: str
    samples: str
    weights: str


@dataclass(frozen=True)
class Way:
    """A sum of products of samples: of which samplers, by number, and of which products.

    `folds`: it sums along an axis, as over points, and does not merely add what several samplers make.
    """

    output: str
    samplers: tuple[int, ...]
    products: tuple[Product, ...]
    folds: bool


@dataclass(frozen=True)
class _Held:
    stage: int
    samplers: frozenset[int]
    products: tuple[Product, ...] = ()
    folds: bool = False


def ways_of(scope: Scope, sites: Sequence[Site]) -> Iterator[Way]:
    """Every sum of weighted samples, the farthest first; `sites` are all samplers of the graph."""
    held = {site.output: found for k, site in enumerate(sites) if (found := _start(k, site)) is not None}
    looked_at = 0
    for node in scope.nodes if held else ():
        inputs = [t.name for t in node.inputs if t.name and not (operator(node) == "Add" and _is_zero(t))]
        own = {name: held[name] for name in inputs if name in held}
        if not own or looked_at > MOST_NODES:
            continue
        looked_at += 1
        made = _made(node, inputs, own)
        if made is not None:
            held |= {t.name: made for t in node.outputs if t.name}
    sums = [(name, found) for name, found in held.items() if found.stage == SUMS]
    for name, found in sums[::-1][:MOST]:
        yield Way(name, tuple(sorted(found.samplers)), found.products, found.folds)


def _start(number: int, site: Site) -> _Held | None:
    """What a sampler's output holds; None of samplers whose samples no attention takes."""
    factors, policy = site.affine.factors, site.policy
    if site.kernels != BILINEAR or not site.affine.only_scales or len(factors) > 1:
        return None
    if policy.fill or not fades(policy):
        return None
    alone = frozenset((number,))
    if not factors:
        return _Held(SAMPLES, alone)
    return _Held(PRODUCTS, alone, (Product(None, site.output, site.output, factors[0].tensor),))


def _made(node: Node, inputs: Sequence[str], own: dict[str, _Held]) -> _Held | None:
    """What a node makes of samples, products or sums; None of others."""
    op = operator(node)
    stages = {found.stage for found in own.values()}
    products = tuple({p.output: p for found in own.values() for p in found.products}.values())
    samplers = frozenset().union(*(found.samplers for found in own.values()))
    union = _Held(max(stages), samplers, products, any(found.folds for found in own.values()))
    if op == "Concat":
        return union if len(stages) == 1 and len(own) == len(set(inputs)) and SUMS not in stages else None
    if op in (BEHIND if SUMS in stages else LAYOUT | {"Cast"}):
        return union if inputs[0] in own and len(own) == 1 else None
    if op in {"Mul"} | CONTRACTS:
        other = [name for name in inputs if name not in own]
        if stages != {SAMPLES} or len(other) != 1 or len(inputs) != 2:
            return None
        weighs = Product(node, node.outputs[0].name, next(iter(own)), other[0])
        summed = op in CONTRACTS
        return replace(union, stage=SUMS if summed else PRODUCTS, products=(weighs,), folds=summed)
    if op == "ReduceSum" and SAMPLES not in stages and inputs[0] in own:
        return replace(union, stage=SUMS, folds=True)
    if op in {"Add", "Sum"} and SAMPLES not in stages and all(name in own for name in inputs):
        return replace(union, stage=SUMS)
    return None


def _is_zero(tensor: Tensor) -> bool:
    """Whether it is what sums begin with: small, and known to be 0."""
    value = small_value(tensor)
    return value is not None and not value.any()


@dataclass(frozen=True)
class Axes:
    """The axes of a product and of what it sums: those of the result, then `summed` ones.

    Attributes:
        shape: Their sizes.
        samples: For each axis of the samples the one that it is.
        weights: The same of the weights.
        result: How many of them the result has.
    """

    shape: tuple[int, ...]
    samples: tuple[int, ...]
    weights: tuple[int, ...]
    result: int

    def spread(self, array: Array, places: Sequence[int]) -> Array:
        """What broadcasts to one operand as what broadcasts to all axes."""
        return spread(array, places, len(self.shape))


def axes_of(product: Product, samples: Sequence[int], weights: Sequence[int]) -> Axes:
    """The axes of a product whose operands have these shapes.

    Raises:
        NoForm: They are used in a way that has no rule.
    """
    node = product.node
    op = "Mul" if node is None else operator(node)
    shapes = {product.samples: samples, product.weights: weights}
    if node is not None and op == "Einsum":
        equation = einsum_letters(node)
        if equation is None:
            raise NoForm(f"the Einsum '{node.attrs.get('equation', '')}' has no rule")
        terms, made = equation
        order = [shapes[t.name] for t in node.inputs]
    else:
        order = [samples, weights] if node is None else [shapes[t.name] for t in node.inputs]
        terms, made = _matrix_letters(order) if op == "MatMul" else _broadcast_letters(order)
    if any(len(term) != len(shape) for term, shape in zip(terms, order, strict=True)):
        raise NoForm(f"what {op} weighs has other axes than it says")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, order, strict=True):
        sizes |= {letter: max(size, sizes.get(letter, 1)) for letter, size in zip(term, shape, strict=True)}
    letters = made + "".join(sorted(set(sizes) - set(made)))
    first = node is None or node.inputs[0].name == product.samples
    own, other = (terms[0], terms[1]) if first else (terms[1], terms[0])
    return Axes(
        tuple(sizes[letter] for letter in letters),
        tuple(letters.index(letter) for letter in own),
        tuple(letters.index(letter) for letter in other),
        len(made),
    )


def _broadcast_letters(shapes: Sequence[Sequence[int]]) -> tuple[list[str], str]:
    rank = max(map(len, shapes))
    made = "".join(chr(ord("a") + k) for k in range(rank))
    return [made[rank - len(shape) :] for shape in shapes], made


def _matrix_letters(shapes: Sequence[Sequence[int]]) -> tuple[list[str], str]:
    if min(map(len, shapes)) < 2:
        raise NoForm("a product with a vector has no rule")
    batches, batch = _broadcast_letters([shape[:-2] for shape in shapes])
    return [f"{batches[0]}XZ", f"{batches[1]}ZY"], f"{batch}XY"
