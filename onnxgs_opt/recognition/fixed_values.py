"""Tensors that no data decides: what constants and sizes alone make, evaluated at one set of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.constants import constant_value, plain_attributes
from onnxgs_opt.ir.def_use import Array, Scope, reads_of
from onnxgs_opt.ir.evaluator import evaluate
from onnxgs_opt.ir.operators import RANDOM, SIZES, operator
from onnxgs_opt.ir.traversal import node_subgraphs
from onnxgs_opt.recognition.lifting.elementwise import exact_below
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact

MOST = 2**22
"""Elements of a tensor: what has more is not evaluated."""


def is_fixed(scope: Scope, name: str, known: dict[str, bool]) -> bool:
    """Whether a tensor follows from constants and sizes alone; `known` keeps what was found."""
    pending = [name]
    while pending:
        name = pending[-1]
        node, _ = scope.producer.get(name, (None, 0))
        if name in known:
            pending.pop()
            continue
        if node is None or operator(node) in SIZES or operator(node) in RANDOM or node_subgraphs(node):
            known[name] = isinstance(scope.tensors.get(name), Constant) if node is None else operator(node) in SIZES
            continue
        behind = [t.name for t in reads_of(node)]
        waiting = [other for other in behind if other not in known]
        if not waiting or not operator(node):
            known[name] = bool(operator(node)) and all(known[other] for other in behind)
        pending += waiting if name not in known else ()
    return known[name]


class FixedValues:
    """The values of fixed tensors of a graph at the sizes of `facts`; each is found once.

    `assumed` are values of tensors that data decides, taken for fixed.
    """

    def __init__(
        self, scope: Scope, facts: Mapping[str, Fact], assumed: Mapping[str, Array | None] = MappingProxyType({})
    ) -> None:
        self.facts = facts
        self._scope = scope
        self._fixed: dict[str, bool] = dict.fromkeys(assumed, True)
        self._values: dict[str, Array | None] = dict(assumed)
        self._small = frozenset(name for name, fact in facts.items() if fact.value is not None)

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor follows from constants and sizes alone."""
        return is_fixed(self._scope, name, self._fixed)

    def value(self, name: str) -> Array | None:
        """A tensor's value, in its type; None where it is not fixed, too large, or of an operator without a rule."""
        if not self.is_fixed(name):
            return None
        for node in self._scope.backward_slice([name], self._values.keys() | self._small):
            for tensor, value in zip(node.outputs, self._evaluated(node), strict=False):
                self._values.setdefault(tensor.name, value)
        return self._known(name)

    def _known(self, name: str) -> Array | None:
        value = self.facts.get(name, UNKNOWN).value
        if value is None and isinstance(self._scope.tensors.get(name), Constant):
            value = constant_value(self._scope.tensors[name])
            return None if value is not None and value.size > MOST else value
        return self._values.get(name) if value is None else value

    def _evaluated(self, node: Node) -> tuple[Array | None, ...]:
        if operator(node) in SIZES:
            return ()
        values = [self._known(t.name) if t.name else None for t in node.inputs]
        if any(v is None and t.name for v, t in zip(values, node.inputs, strict=True)):
            return ()
        if operator(node) == "Range" and all(v is not None and v.dtype.kind == "f" for v in values):
            return (_float_range(values),)
        found = evaluate(node.op, values, plain_attributes(node.attrs), self._scope.opset, len(node.outputs), MOST)
        return found or ()


def _float_range(values: Sequence[Array | None]) -> Array | None:
    """A range of whole numbers that their type has exactly; None of others, which runtimes may round differently."""
    start, limit, step = (np.reshape(v, ())[()] for v in values if v is not None)
    whole = float(start).is_integer() and float(step).is_integer() and step
    if not whole or max(abs(float(start)), abs(float(limit))) > exact_below(start.dtype):
        return None
    count = max(0, int(np.ceil((float(limit) - float(start)) / float(step))))
    return None if count > MOST else (float(start) + float(step) * np.arange(count)).astype(start.dtype)
