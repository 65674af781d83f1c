"""What a rule of an operator is, and what it may ask of the lift that uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from onnxgs_opt.ir import Body, Node
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.lifting.shape_functions import Fact, Shape

Index = tuple[Expr, ...]


class Lift(Protocol):
    """What a rule may ask: of other elements, of shapes and types, and to have something remembered."""

    algebra: Algebra
    facts: Mapping[str, Fact]
    compared: set[Expr]
    exact_below: int
    mixes: bool

    def value(self, name: str, index: Index) -> Expr:
        """Element `index` of tensor `name`."""

    def moved(self, name: str, index: Index) -> Expr:
        """The element that one is by layout alone, as a leaf."""

    def leaf(self, name: str, index: Index) -> Expr:
        """The element as a leaf: what computes it is not looked at."""

    def operands(self, node: Node, index: Index) -> list[Expr]:
        """The inputs of an elementwise operator at output index `index`."""

    def broadcast(self, name: str, index: Index) -> Index:
        """The index into an operand that is broadcast to the output that `index` is of."""

    def shape(self, name: str) -> Shape:
        """The tensor's concrete shape; NoRule when unknown."""

    def dtype_kind(self, name: str) -> str:
        """Numpy's kind letter of a tensor's dtype, '?' when unknown."""

    def maker(self, name: str) -> Node | None:
        """The node that makes a tensor, None for an input or a constant."""

    def leads_to_read(self, name: str) -> bool:
        """Whether a tensor has a part in where something is read."""

    def enter(self, body: Body) -> None:
        """Make the tensors of a subgraph known."""

    def note_rounded(self, name: str, index: Index, value: Expr) -> None:
        """Remember a coordinate that is about to be rounded."""


Rule = Callable[[Lift, Node, int, Index], Expr]
"""Given the node, which of its outputs and the index into that, the element."""


class NoRule(Exception):  # noqa: N818 (a value that is not there, not a failure)
    """The operator, at these shapes, has no rule: its output becomes a leaf."""
