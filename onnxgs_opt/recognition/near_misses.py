"""Which of the sums that were no sampler are told, and by which reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace

import numpy as np

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import ELEMENTWISE, MOVES, READS, operator
from onnxgs_opt.recognition.algebra.expression import Expr, walk
from onnxgs_opt.recognition.algebra.failures import MIXED, UNBOUNDED
from onnxgs_opt.recognition.candidates import TAPS, Join, is_rounded
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.match import Miss, Stage
from onnxgs_opt.samplers.op import OWN

LATE = frozenset(("GSO101", "GSO103", "GSO107", "GSO114"))
"""Codes of sums that do read the pixels around two floors; these are reported of a single read of all corners too."""

UNSIZED = "GSO113"
"""That of a sum that could not be looked at, for its sizes are data: it may be anything that a rounded index reads."""

COORDINATES = "GSO112"
"""That of a sum whose reads depend on more coordinates, or fewer, than those of a sampler do."""

UNKEPT = "an index into what was put into one axis may be any number: nothing keeps it inside"
"""Told where the rows of an index that has no bounds cannot be told."""


NO_NUMBER = "'{}', which tells where it is read, is no number (NaN), and what that is as an integer is not defined"
"""Told of an index that no input decides: torch's linspace of one step is 0/0 in TorchScript."""


NO_IMAGE = "where '{}' is read tells what is read, as of a tensor of one number: it is no image"
"""Told where all that is read at computed places is known from these, {} being what is read."""


PAST_A_ROW = "an index into what was put into one axis goes past the end of a row"
"""Told where the rows depend on the columns, too."""


def placed(lift: Lift | None, miss: Miss, scope: Scope, output: str) -> Miss:
    """The miss with the node that it is about: the first that computes the expression, or something of it.

    What is read is told at the read, not where the image's layout changes before. Where the coordinates were not found
    because a size before `output` is not known, that is told instead.
    """
    if lift is not None and miss.stage <= Stage.COORDINATES:
        told = unsized(scope, lift.facts, output) if _lacks_sizes(lift) else ""
        miss = replace(miss, condition=told, reported=UNSIZED, about=None) if told else miss
    if lift is not None and miss.code == "GSO111" and lift.levels and not lift.images:
        return replace(miss, condition=NO_IMAGE.format(next(reversed(lift.levels))), reported="GSO112")
    undefined = next(_undefined(lift), None) if lift is not None else None
    if undefined is not None:
        return replace(miss, condition=NO_NUMBER.format(undefined), reported="GSO109", about=None, like="")
    if lift is None or miss.about is None:
        return miss
    about, miss = miss.about, replace(miss, condition=miss.condition + _rounded_up(lift, miss))
    nodes = _makers(lift, (name for (name, _), value in lift.values.items() if value is about))
    nodes = [node for node in nodes if operator(node) in READS] or nodes
    if not nodes:
        nodes = _makers(lift, (name for (name, _), value in lift.values.items() if about in walk((value,))))
    if not nodes:
        return miss
    unkept = miss.condition == UNBOUNDED or (miss.condition == MIXED and _has_no_end(about))
    if unkept and operator(nodes[0]) in MOVES:
        return replace(miss, condition=UNKEPT, reported="GSO114", node=nodes[0].name)
    if miss.condition == MIXED and operator(nodes[0]) in MOVES:
        return replace(miss, condition=PAST_A_ROW, node=nodes[0].name)
    return replace(miss, node=nodes[0].name)


def _undefined(lift: Lift) -> Iterator[str]:
    """The tables among what tells where reads are that hold something else than finite numbers."""
    leaves = {leaf for value in lift.values.values() if value.is_read for leaf in value.leaves}
    for name in sorted({str(leaf.args[0]) for leaf in leaves}):
        value = lift.facts.get(name, UNKNOWN).value
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            yield name


def _rounded_up(lift: Lift, miss: Miss) -> str:
    """That an index goes too far because floats may round a remainder up to what is divided by; "" where it is not."""
    names = {str(leaf.args[0]) for leaf in miss.about.leaves} if miss.about is not None else set()
    left = ((name, n) for (name, _), n in lift.remainders.items() if name in names)
    told = (
        f", for floats may round the remainder '{name}' up to {n}, and its floor would have to be clamped to {n - 1}"
        for name, n in left
    )
    return next(told, "") if miss.code == "GSO114" else ""


def _has_no_end(condition: Expr) -> bool:
    """Whether what is compared, as an index is with 0, has no bound on either side."""
    compared = condition.args[0] if condition.op == "ge" else condition
    return isinstance(compared, Expr) and compared.lo is None and compared.hi is None


def _lacks_sizes(lift: Lift) -> bool:
    """Whether a tensor that was looked at, or what it is computed from element by element, has no known shape."""
    seen = {name for name, _ in lift.values}
    makers = [node for name in seen if (node := lift.maker(name)) is not None and operator(node) in ELEMENTWISE]
    seen.update(tensor.name for node in makers for tensor in node.inputs if tensor.name)
    return any(lift.facts.get(name, UNKNOWN).shape is None for name in seen)


def _makers(lift: Lift, names: Iterable[str]) -> list[Node]:
    """The nodes that make tensors, in the order of the graph."""
    makers = (lift.maker(name) for name in sorted(names, key=lift.place_of))
    return [node for node in makers if node is not None]


def unsized(scope: Scope, facts: Mapping[str, Fact], output: str) -> str:
    """The first node before a tensor whose result has no known shape though its inputs have one; "" for none."""
    for node in scope.backward_slice([output]):
        if not node.inputs:  # an empty sequence
            continue
        shapes = [facts.get(tensor.name, UNKNOWN).shape for tensor in node.inputs if tensor.name]
        made = next((t.name for t in node.outputs if facts.get(t.name, UNKNOWN).shape is None), None)
        if made is not None and None not in shapes and operator(node) in ELEMENTWISE:
            given = " and ".join(str(list(shape)) for shape in shapes)  # type: ignore[arg-type]
            return f"at '{node.name}', shapes {given} do not fit together"
        if made is not None and None not in shapes:
            return f"at '{node.name}', the size of '{made}' follows from what its inputs hold, and is not known before"
    return ""


def remarks(scope: Scope, misses: dict[str, tuple[Join, Miss]], claimed: Set[str]) -> Iterator[Remark]:
    """One near-miss for the widest sum of each group of reads that no site took.

    A sum none of whose reads rounds a number to its index is none: it looks classes, words or items up.
    """
    kept: list[tuple[Join, Miss]] = []
    proven = [join.reads for join, miss in misses.values() if miss.stage >= Stage.OPERANDS]
    for join, miss in sorted(misses.values(), key=lambda entry: -len(entry[0].reads)):
        if miss.apart and miss.code == COORDINATES and any(reads < join.reads for reads in proven):
            continue  # a sum of several samplers of one image, of which some lack their tensors alone
        inside = any(join.reads <= other.reads for other, _ in kept)
        has_no_sizes = UNSIZED in (miss.code, miss.reported)
        sampled = miss.stage >= Stage.TAPS or (miss.code in LATE and miss.taps >= TAPS)
        told = len(join.reads) > 1 or has_no_sizes or sampled
        if not inside and told and not join.reads & claimed:
            kept.append((join, miss))
    for join, miss in kept:
        if join.node.name.startswith(OWN):  # of a border whose image is continued, what was written is no known sampler
            continue
        if any(is_rounded(scope, scope.producer[read][0].inputs[1].name) for read in join.reads):
            yield Remark(miss.reported or miss.code, join.node.name, miss.told, miss.hint)
