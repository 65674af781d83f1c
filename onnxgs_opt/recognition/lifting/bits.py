"""Rules for the bits of integers: shifts are products with powers of 2 and quotients, masks are what these leave."""

from __future__ import annotations

from math import prod

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule, Rule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN


def _bit_shift(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """Times a power of 2, or divided by one."""
    a, b = lift.operands(node, index)
    if not isinstance(b.value, int) or not 0 <= b.value < 32 or a.lo is None or a.lo < 0:
        raise NoRule("not a fixed number of bits of a number that has no sign")
    if node.attrs["direction"] in ("RIGHT", b"RIGHT"):
        return lift.algebra.quotient(a, 2**b.value)
    return lift.algebra.scale(a, 2**b.value)


def _bitwise_and(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """What is left of a division by a power of 2: that a number is odd is its lowest bit, of a negative one too."""
    names = [t.name for t in node.inputs]
    for name, other in (names, names[::-1]):
        mask = lift.value(other, lift.broadcast(other, index)).value
        if isinstance(mask, int) and mask >= 0 and not mask & (mask + 1):
            return lift.algebra.remainder(_with_all_bits(lift, name, lift.broadcast(name, index)), mask + 1)
    raise NoRule("not the lowest bits of a number")


def _with_all_bits(lift: Lift, name: str, index: Index) -> Expr:
    """An integer before a Cast took its upper bits: PyTorch counts in int8 how often a coordinate is mirrored.

    ONNX does not say what a number becomes that the type does not hold; runtimes keep the lower bits.
    """
    node = lift.maker(name)
    if node is None or operator(node) != "Cast" or lift.dtype_kind(name) not in "iu":
        return lift.value(name, index)
    return lift.algebra.trunc(lift.value(node.inputs[0].name, index))


def shifted_with_sign(lift: Lift, node: Node, index: Index) -> Expr | None:
    """A shift to the right of a number with a sign, which ONNX has not, as a Where of two without; None of else.

    Below 0 the bits that come in are 1: PyTorch's exporter writes shift(q) | mask there, of q without its sign.
    """
    condition, below, above = (t.name for t in node.inputs)
    shifted = _shift_of(lift, above)
    made = _before_casts(lift, below)
    if shifted is None or made is None or operator(made) != "BitwiseOr":
        return None
    name, bits = shifted
    width = 8 * lift.facts[name].dtype.itemsize  # type: ignore[union-attr]
    parts = [t.name for t in made.inputs]
    filled = [_constant(lift, other) for part, other in (parts, parts[::-1]) if _shift_of(lift, part) == shifted]
    q = lift.value(name, lift.broadcast(name, index))
    is_below = lift.algebra.sub(lift.algebra.one, lift.algebra.ge(q))
    if (
        2**width - 2 ** (width - bits) not in filled
        or lift.value(condition, lift.broadcast(condition, index)) != is_below
    ):
        return None
    return lift.algebra.quotient(q, 2**bits)


def _shift_of(lift: Lift, name: str) -> tuple[str, int] | None:
    """The integer with a sign, and by how many bits this is it, shifted to the right without its sign."""
    node = _before_casts(lift, name)
    if node is None or operator(node) != "BitShift" or node.attrs["direction"] not in ("RIGHT", b"RIGHT"):
        return None
    cast, bits = lift.maker(node.inputs[0].name), _constant(lift, node.inputs[1].name)
    if cast is None or operator(cast) != "Cast" or bits is None:
        return None
    name = cast.inputs[0].name
    source, target = (lift.facts.get(t.name, UNKNOWN).dtype for t in (cast.inputs[0], cast.outputs[0]))
    same = source is not None and target is not None and source.itemsize == target.itemsize
    return (name, bits) if same and (source.kind, target.kind) == ("i", "u") else None  # type: ignore[union-attr]


def _before_casts(lift: Lift, name: str) -> Node | None:
    node = lift.maker(name)
    while node is not None and operator(node) == "Cast" and lift.dtype_kind(node.inputs[0].name) in "iu":
        node = lift.maker(node.inputs[0].name)
    return node


def _constant(lift: Lift, name: str) -> int | None:
    """The integer that a tensor of one element is; None of others."""
    shape = lift.shape(name)
    value = lift.value(name, (lift.algebra.zero,) * len(shape)).value if prod(shape) == 1 else None
    return value if isinstance(value, int) else None


def _bitwise_not(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """The largest number of an unsigned type less this one."""
    dtype = lift.facts.get(node.inputs[0].name, UNKNOWN).dtype
    if dtype is None or dtype.kind != "u":
        raise NoRule("it has a sign")
    return lift.algebra.sub(lift.algebra.num(2 ** (8 * dtype.itemsize) - 1), lift.operands(node, index)[0])


BITS: dict[str, Rule] = {"BitShift": _bit_shift, "BitwiseAnd": _bitwise_and, "BitwiseNot": _bitwise_not}
