"""Sizes that follow from others by a quotient that is rounded down: each is a symbol of its own.

A pool, a stride and arithmetic of shapes make the same one, whichever way it is written: what is whole is moved out,
and a quotient of a quotient is one by both divisors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.ir.operators import POOLS, operator
from onnxgs_opt.recognition.algebra.polynomial import Number, Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity, Range
from onnxgs_opt.recognition.lifting.shape_functions import slice_bounds

LONGEST = 2**31 - 1
"""Where a Slice ends that goes to the end."""

DISTINCT = 3
"""Values that a quotient and its remainder have to have at the analysed sets, or all that a remainder may have: they
tell formulas of the second power apart."""

Symbol = Callable[[str, Sequence[int], Range], Quantity]


class Quotients:
    """The quotients of one graph. `symbol` makes one, of its values at each set, which `at_sets` gives of a formula."""

    def __init__(
        self,
        symbol: Symbol,
        at_sets: Callable[[Quantity], Sequence[Number]],
        range_of: Callable[[int], Range],
        words: Callable[[Poly], str],
    ) -> None:
        self._symbol, self._at_sets, self._range_of, self._words = symbol, at_sets, range_of, words
        self._known: dict[tuple[Poly, int], Quantity] = {}
        self._made: dict[int, tuple[Quantity, int]] = {}

    def of(self, value: Quantity, divisor: int, from_: int = 0) -> Quantity | None:
        """A formula that is not negative divided by a number and rounded down; None where too little is seen of it.

        `from_` is the least value that a new symbol is looked at for.
        """
        if value.is_rounded or not value.is_integral or divisor < 1:
            return None
        whole = Quantity(Poly({m: c // divisor for m, c in value.over if c // divisor}))
        rest = Poly({m: c % divisor for m, c in value.over if c % divisor})
        if rest.constant is not None:
            return whole
        found = self._inner(rest, divisor) or self._known.get((rest, divisor)) or self._new(rest, divisor, from_)
        return None if found is None else whole.plus(found)

    def strided(
        self, node: Node, constants: Sequence[Array | None], axis: int, dim: object, from_: int = 0
    ) -> Quantity | None:
        """What the stride of a node leaves of `dim`; None where that is no formula, or there is no stride."""
        try:
            parts = _parts(node, constants, axis, dim) if isinstance(dim, Quantity) else None
        except (IndexError, TypeError, ValueError):
            return None
        return None if parts is None else self.of(*parts, from_=from_)

    def behind(self, atom: int) -> frozenset[int]:
        """The symbols that a quotient is made of; none of any other symbol."""
        return self._made[atom][0].atoms if atom in self._made else frozenset()

    def _inner(self, rest: Poly, divisor: int) -> Quantity | None:
        """The quotient by both divisors of what is a quotient already."""
        (monomial, factor), *more = [(m, c) for m, c in rest if m]
        if more or factor != 1 or len(monomial) != 1 or monomial[0] not in self._made:
            return None
        over, inner = self._made[monomial[0]]
        return self.of(over.plus(Quantity.of(inner * rest.terms.get((), 0))), inner * divisor)

    def _new(self, rest: Poly, divisor: int, from_: int) -> Quantity | None:
        over = Quantity(rest)
        values, remainders = zip(*(divmod(value, divisor) for value in self._at_sets(over)), strict=True)
        least, _ = over.bounds(self._range_of)
        if len(set(values)) < DISTINCT or len(set(remainders)) < min(DISTINCT, divisor) or least is None or least < 0:
            return None
        text = self._words(rest)
        made = self._symbol(
            f"{text if text.isidentifier() else f'({text})'} // {divisor}",
            values,
            (max(from_, int(least // divisor)), None),
        )
        self._known[rest, divisor] = made
        (atom,) = made.atoms
        self._made[atom] = over, divisor
        return made


def _parts(node: Node, constants: Sequence[Array | None], axis: int, dim: Quantity) -> tuple[Quantity, int] | None:
    """What over what, rounded down, is the size along an axis that a stride makes of `dim`; None where none does."""
    if operator(node) == "Slice":
        for start, end, own, step in zip(*slice_bounds(node, constants), strict=True):
            if own in (axis, axis - len(node.inputs[0].shape or ())) and step > 1 and start >= 0 and end >= LONGEST:
                return dim.plus(Quantity.of(step - 1 - start)), step
        return None
    place, attrs = axis - 2, node.attrs
    strides = attrs.get("strides")
    if operator(node) not in POOLS or place < 0 or strides is None or strides[place] == 1:
        return None
    if attrs.get("ceil_mode") or attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    window = attrs.get("kernel_shape") or (node.inputs[1].shape or ())[2:]
    pads = attrs.get("pads") or [0] * (2 * len(strides))
    reach = attrs.get("dilations", [1] * len(strides))[place] * (window[place] - 1) + 1
    padded = dim.plus(Quantity.of(pads[place] + pads[place + len(strides)] - reach))
    return padded.plus(Quantity.of(strides[place])), strides[place]
