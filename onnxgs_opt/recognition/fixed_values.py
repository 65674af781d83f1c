"""Tensors that no data decides: what constants and sizes alone make, evaluated at one set of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.constants import constant_value, plain_attributes
from onnxgs_opt.ir.def_use import Array, Scope, reads_of
from onnxgs_opt.ir.evaluator import evaluate
from onnxgs_opt.ir.operators import ARITHMETIC, COPIES, MOVES, RANDOM, SIZES, operator
from onnxgs_opt.ir.traversal import node_subgraphs
from onnxgs_opt.recognition.lifting.elementwise import exact_below
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact

MOST = 2**22
"""Elements of a tensor: what has more is not evaluated."""


NEAR: dict[str, Any] = {"Pow": np.power, "ReduceMean": np.mean, "ReduceSum": np.sum}
"""What runtimes round differently: it is near enough for a weight, and not for a place."""

KEEPS_NEAR = ARITHMETIC | MOVES | COPIES | {"Where", *NEAR}
"""What makes numbers that are near enough of such: nothing that compares or rounds them."""


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
        self._near: set[str] = set()
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
        attrs, is_near = plain_attributes(node.attrs), any(t.name in self._near for t in node.inputs)
        found = evaluate(node.op, values, attrs, self._scope.opset, len(node.outputs), MOST)
        if found is None and operator(node) in NEAR:
            found, is_near = evaluated_nearly(node, values), True
        if is_near and found and (operator(node) not in KEEPS_NEAR or any(v.dtype.kind != "f" for v in found)):
            return ()
        self._near.update(t.name for t in node.outputs if is_near and found)
        return found or ()


def evaluated_nearly(node: Node, values: Sequence[Array | None]) -> tuple[Array, ...] | None:
    """The result of a node of `NEAR` on floats; None where it is not finite or has too many elements."""
    data, *rest = (v for v in values if v is not None)
    if data.dtype.kind != "f" or data.size > MOST:
        return None
    wide = data.astype(np.float64)
    with np.errstate(all="ignore"):
        if operator(node) == "Pow":
            made = np.power(wide, rest[0].astype(np.float64))
        else:
            axes = node.attrs.get("axes", rest[0].reshape(-1).tolist() if rest else None)
            if not axes and node.attrs.get("noop_with_empty_axes"):
                return (data,)
            along = tuple(axes) if axes else None
            made = np.asarray(NEAR[node.op](wide, axis=along, keepdims=bool(node.attrs.get("keepdims", 1))))
    return (made.astype(data.dtype),) if np.isfinite(made).all() and made.size <= MOST else None


def _float_range(values: Sequence[Array | None]) -> Array | None:
    """A range of whole numbers that their type has exactly; None of others, which runtimes may round differently."""
    start, limit, step = (np.reshape(v, ())[()] for v in values if v is not None)
    whole = float(start).is_integer() and float(step).is_integer() and step
    if not whole or max(abs(float(start)), abs(float(limit))) > exact_below(start.dtype):
        return None
    count = max(0, int(np.ceil((float(limit) - float(start)) / float(step))))
    return None if count > MOST else (float(start) + float(step) * np.arange(count)).astype(start.dtype)
