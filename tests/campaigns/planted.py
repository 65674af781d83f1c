"""Lowerings that are wrong at some size, channel, batch item or point only: the check of a site has to find them.

python -m tests.campaigns.planted [--write docs/reliability.md]; exit code 1 where one slips through that can show at a
size that validation runs, or where fewer than `LEAST` are caught.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance
from onnxgs_opt.lowering.emit.cells import emit_pixels
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.recognition.find import canonical, surveyed
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View
from onnxgs_opt.validation.check import SiteCheck
from tests.lowering.samplers import Case, graph_and_site, lower

LEAST = 55
MODELS = Path(__file__).parents[1] / "fixtures" / "models"
BEGIN, END = "<!-- made by make planted -->", "<!-- to here, of make planted -->"

SIZES = [
    *(f"W > {size}" for size in (16, 24, 32, 64, 128, 224, 256, 1024, 2048)),
    *(f"H > {size}" for size in (16, 64, 224, 256, 2048)),
    *("W % 2 == 0", "W % 2 == 1", "H % 2 == 0", "H % 2 == 1", "W % 16 == 0", "W == 2", "H == 2"),
    *("(H == W) & (H >= 4)", "H > W", "W > H", "H * W > 65535"),
]
CHANNELS = [
    "C > 16",
    "C > 32",
    "C > 64",
    "C > 128",
    "C % 4 == 1",
    "C % 4 == 0",
    "C == 1",
    "c == C - 1",
    "c >= 16",
    "c >= 256",
]
ITEMS = ["N >= 3", "N >= 5", "N >= 8", "N % 2 == 1", "n >= 1", "n == 7", "n == N - 1"]
POINTS = [
    *("Ho * Wo > 1000", "Wo > 1000", "Ho > 1000", "k >= 1000", "k == 0", "k == Ho * Wo - 1", "Ho * Wo == 1"),
    *("x == 2.5", "x == 0.25", "y == 1.75", "x == 3", "x == W - 1", "y == H - 1", "x == W", "x == -1", "y == H - 0.5"),
    *(
        "abs(x) > 20000",
        "abs(y) > 20000",
        "abs(x) > 5000",
        "x < -32768",
        "(x == W - 1) & (n == N - 1)",
        "(x < 0) & (x > -0.001)",
    ),
]
CHANGES = [
    *("x, y = y, x", "x = x + 0.000001", "x = x * 1.0000002", "x = x * 1.000002", "x = floor(x * 256) * 0.00390625"),
    *("out = out * 1.000003", "out = out + 0.000003", "x = least(x, 99)", "x = x - (x >= 256) * 256", "y = half(y)"),
]
BEYOND = ["W > 4096", "H > 4096", "C > 512", "N > 16", "Ho * Wo > 2000000", "x == 7.8125", "(N == 6) & (C == 7)"]
"""What shows at no size and no point that validation runs."""

AMOUNT = 0.01
"""How far the samples are off where a condition holds."""


@dataclass(frozen=True, eq=False)
class Number:
    """A tensor of the lowered site that is computed with as Python's numbers are."""

    builder: Builder
    tensor: Tensor

    def of(self, op_type: str, *others: Any) -> Number:
        tensors = [self._alike(o.tensor) if isinstance(o, Number) else o for o in others]
        return Number(self.builder, self.builder.op(op_type, self.tensor, *tensors))

    def cast(self, dtype: Any) -> Number:
        return Number(self.builder, self.builder.cast(self.tensor, dtype))

    def _alike(self, other: Tensor) -> Tensor:
        return other if self.tensor.dtype == other.dtype else self.builder.cast(other, self.tensor.dtype)

    def __gt__(self, other: Any) -> Number:
        return self.of("Greater", other)

    def __lt__(self, other: Any) -> Number:
        return self.of("Less", other)

    def __ge__(self, other: Any) -> Number:
        return self.of("GreaterOrEqual", other)

    def __eq__(self, other: Any) -> Any:
        return self.of("Equal", other)

    def __and__(self, other: Any) -> Number:
        return self.of("And", other)

    def __mod__(self, other: Any) -> Number:
        return self.of("Mod", other)

    def __add__(self, other: Any) -> Number:
        return self.of("Add", other)

    def __sub__(self, other: Any) -> Number:
        return self.of("Sub", other)

    def __mul__(self, other: Any) -> Number:
        return (self.cast(np.float32) if self.tensor.dtype == np.bool_ else self).of("Mul", other)

    def __abs__(self) -> Number:
        return self.of("Abs")


FUNCTIONS = {
    "floor": lambda value: value.of("Floor"),
    "least": lambda value, most: value.of("Min", most),
    "half": lambda value: value.cast(np.float16).cast(np.float32),
}


@dataclass(frozen=True)
class Planted:
    """merged-gather, but wrong: `fault` is a condition on sizes, indices and pixels, or what is computed instead."""

    fault: str
    name: str = "planted"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        base = LOWERINGS["merged-gather"]
        changed, _, value = self.fault.rpartition(" = ")
        known = _names(builder, site)
        if changed in ("x", "y", "x, y"):
            moved = eval(value, {**FUNCTIONS, **known})  # the texts are those above
            names = dict(zip(changed.split(", "), moved if isinstance(moved, tuple) else (moved,), strict=True))
            return base.emit(builder, _reading(site, {**known, **names}))
        emitted = base.emit(builder, site)
        out = Number(builder, emitted.samples)
        if changed:
            return replace(emitted, samples=eval(value, {**FUNCTIONS, "out": out}).tensor)
        wrong = eval(self.fault, {**FUNCTIONS, **known})
        return replace(emitted, samples=(out + wrong * AMOUNT).tensor)


def _names(builder: Builder, site: Site) -> dict[str, Number]:
    """Sizes N to Wo, indices n, c and k (of a point), pixels x and y; all broadcast to [N, C, Ho, Wo]."""
    image = emit_view(builder, site.image)
    heads = builder.dim(image, 2), builder.dim(image, 3)
    x, y = emit_pixels(builder, site, heads, 1)
    samples = builder.op("Shape", builder.op("Add", x, y))
    image_shape = builder.op("Shape", image)
    pick = {"N": 0, "C": 1, "H": 2, "W": 3}
    sizes = {name: builder.op("Gather", image_shape, np.array([axis]), axis=0) for name, axis in pick.items()}
    sizes |= {name: builder.op("Gather", samples, np.array([axis]), axis=0) for name, axis in (("Ho", 2), ("Wo", 3))}
    points = builder.op("Mul", sizes["Ho"], sizes["Wo"])
    index = {"n": (sizes["N"], [-1, 1, 1, 1]), "c": (sizes["C"], [1, -1, 1, 1])}
    out = {name: builder.op("Reshape", _range(builder, size), np.array(to)) for name, (size, to) in index.items()}
    grid = builder.concat([builder.const([1, 1], np.int64), sizes["Ho"], sizes["Wo"]], 0)
    out["k"] = builder.op("Reshape", _range(builder, points), grid)
    return {name: Number(builder, tensor) for name, tensor in {**sizes, **out, "x": x, "y": y}.items()}


def _range(builder: Builder, size: Tensor) -> Tensor:
    start, step = builder.const(0, np.int64), builder.const(1, np.int64)
    return builder.op("Range", start, builder.squeeze(size, [0]), step, dtype=np.int64, shape=[None])


def _reading(site: Site, names: dict[str, Number]) -> Site:
    """The site with other tensors [N, 1, Ho, Wo] for its pixels."""
    groups = ((0,), (2,), (3,))
    for name in ("x", "y"):
        names[name].tensor.shape = names[name].tensor.shape or [None] * 4
        names[name].tensor.dtype = names[name].tensor.dtype or np.dtype(np.float32)
    x, y = (View(names[name].tensor.name, groups, units=1) for name in ("x", "y"))
    return replace(site, x=x, y=y, grid=None, coordinates="pixel", align_corners=None, mask=None)


MADE = {
    "border": Case(dynamic=True, policy=Policy("border")),
    "rows and columns": Case(dynamic=True, rows_and_columns=True, policy=Policy("zeros")),
}
SITES = ("masked_interior.ts17.dyn", "masked_interior_normalized.dy20.dyn", *MADE)


def checks(names: Sequence[str] = SITES) -> dict[str, SiteCheck]:
    """The sites that every fault is planted in: two exports as the command finds them, and two made by hand."""
    return {name: _made(MADE[name]) if name in MADE else _exported(name) for name in names}


def _exported(name: str) -> SiteCheck:
    graph, found = surveyed(*canonical(Graph.load(MODELS / f"{name}.onnx")))
    site = found.samplers[0]
    return SiteCheck.of(graph, site, shapes=found.shapes[site.body])


def _made(case: Case) -> SiteCheck:
    graph = lower(case, LOWERINGS["plugin"])
    _, site = graph_and_site(case)
    if not case.rows_and_columns:
        x, y = Builder(graph, "model").split(graph.tensor("grid"), 3, [1, 1])
        for tensor, name in ((x, "x"), (y, "y")):
            tensor.name, tensor.dtype, tensor.shape = name, np.dtype(np.float32), [*graph.tensor("grid").shape[:3], 1]
    return SiteCheck.of(graph, site)


def slipped(fault: str, sites: dict[str, SiteCheck]) -> list[str]:
    """The sites whose check passes the fault; one of channels is planted only where their number is free.

    Raises:
        ValueError: What was planted does not run, so that anything would find it.
    """
    of_channels = re.search(r"\b[Cc]\b", fault) is not None
    found = {
        name: check.compare(Planted(fault))
        for name, check in sites.items()
        if not (of_channels and check.site.channels)
    }
    for name, seen in found.items():
        if "does not" in seen.worst or "another shape" in seen.worst:
            raise ValueError(f"{fault} in {name}: {seen.worst}")
    return [name for name, seen in found.items() if seen.status != "mismatch"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="the page whose table is made anew")
    options = parser.parse_args()
    sites = checks()
    groups = {"sizes": SIZES, "channels": CHANNELS, "batch items": ITEMS, "points": POINTS, "arithmetic": CHANGES}
    rows, missed, caught = [], [], 0
    for group, faults in {**groups, "beyond what is run": BEYOND}.items():
        through = {fault: names for fault in faults if (names := slipped(fault, sites))}
        caught += len(faults) - len(through)
        missed += [f"{fault}: {', '.join(names)}" for fault, names in through.items() if fault not in BEYOND]
        told = ", ".join(f"`{fault}`" for fault in faults)
        rows.append(f"| {group} | {told} | {len(faults)} | {len(faults) - len(through)} |")
    table = "\n".join(["| wrong only where | | planted | caught |", "|---|---|---|---|", *rows])
    sys.stdout.write("\n".join([table, *missed, ""]))
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        options.write.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")
    return 1 if missed or caught < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
