"""What a sampler's definition computes with: expressions, arrays or nodes."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol, TypeVar

E = TypeVar("E")


class Arithmetic(Protocol[E]):
    """Exact where it is an algebra; conditions are 1 and 0."""

    zero: E
    one: E

    def num(self, value: int | Fraction) -> E:
        """A constant."""

    def add(self, a: E, b: E) -> E:
        """A + b."""

    def sub(self, a: E, b: E) -> E:
        """A - b."""

    def mul(self, a: E, b: E) -> E:
        """A * b."""

    def div(self, a: E, b: E) -> E:
        """A / b, b being a constant other than 0."""

    def floor(self, a: E) -> E:
        """The greatest integer <= a."""

    def round(self, a: E) -> E:
        """The nearest integer; of two that are as near, the even one."""

    def minimum(self, a: E, b: E) -> E:
        """The smaller of two."""

    def maximum(self, a: E, b: E) -> E:
        """The larger of two."""

    def ge(self, a: E) -> E:
        """1 where a >= 0, else 0."""

    def gt(self, a: E) -> E:
        """1 where a > 0, else 0."""

    def select(self, condition: E, a: E, b: E) -> E:
        """A where condition is 1, b where it is 0."""
