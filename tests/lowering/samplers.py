"""Sites that need no finder, and what their samples are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import parser

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Lowering, emit
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.policy import WINDOWS, Policy
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View
from tests.fixtures.oracle import bilinear

INTERIOR = Policy("zeros", "interior")


@dataclass(frozen=True)
class Case:
    """Sizes, policy and layout of a sampler; the model's inputs are `image`, and `grid` or `x` and `y`.

    Where they are `told`, rows and columns are known of the site alone, as by a Reshape, and open in the file.
    """

    batch: int = 2
    channels: int = 3
    image: tuple[int, int] = (7, 12)
    samples: tuple[int, int] = (18, 31)
    policy: Policy = INTERIOR
    opset: int = 17
    dynamic: bool = False
    one_grid: bool = False
    coordinates: str = "pixel"
    align_corners: bool | None = None
    rows_and_columns: bool = False
    dtype: str = "float32"
    counted: bool = False
    """A dynamic image whose channels are as many as the file says."""
    channels_last: bool = False
    index_type: str = ""
    told: bool = False

    @property
    def image_shape(self) -> tuple[int, ...]:
        inner = (*self.image, self.channels) if self.channels_last else (self.channels, *self.image)
        return (self.batch, *inner)

    @property
    def grid_batch(self) -> int:
        return 1 if self.one_grid else self.batch

    @property
    def x_shape(self) -> tuple[int, int, int]:
        return (self.grid_batch, 1 if self.rows_and_columns else self.samples[0], self.samples[1])

    @property
    def y_shape(self) -> tuple[int, int, int]:
        return (self.grid_batch, self.samples[0], 1 if self.rows_and_columns else self.samples[1])


# x and y as exporters make them: Split keeps the last axis, and normalised ones go through the affine map.
PIXEL = "x, y = Split <axis = 3{attr}> (grid{input})"
CORNERS = """u, v = Split <axis = 3{attr}> (grid{input})
   half = Constant <value = float {{0.5}}> ()
   hu = Mul (u, half)  hv = Mul (v, half)  su = Add (hu, half)  sv = Add (hv, half)
   wide = Constant <value = float {{{W}}}> ()  high = Constant <value = float {{{H}}}> ()
   x = Mul (su, wide)  y = Mul (sv, high)"""


def graph_and_site(case: Case) -> tuple[Graph, Site]:
    """A graph whose output is not computed by a sampler yet, and the site that a sampler could take."""
    H, W = case.image
    channels = case.channels if case.counted or not case.dynamic else "c"
    dims = ("n", channels, "h", "w") if case.dynamic else (case.batch, channels, H, W)
    lie = tuple(dims[axis] for axis in (0, 2, 3, 1)) if case.channels_last else dims
    samples = ("ho", "wo") if case.dynamic else case.samples
    items = 1 if case.one_grid else dims[0]
    kind = {"float32": "float", "float16": "float16"}[case.dtype]
    image = f"{kind}[{', '.join(map(str, lie))}] image"
    if case.rows_and_columns:
        inputs = f"{image}, float[{items}, 1, {samples[1]}] x, float[{items}, {samples[0]}, 1] y"
        body = ""
    else:
        inputs = f"{image}, float[{items}, {samples[0]}, {samples[1]}, 2] grid"
        form = CORNERS if case.coordinates == "normalised" else PIXEL
        old = case.opset < 13
        body = form.format(attr=", split = [1, 1]" if old else "", input="" if old else ", sizes", H=H - 1, W=W - 1)
        if not old:
            body = "sizes = Constant <value = int64[2] {1, 1}> ()\n   " + body
    text = f"""<ir_version: 7, opset_import: ["": {case.opset}]>
g ({inputs}) => ({kind}[{dims[0]}, {dims[1]}, {samples[0]}, {samples[1]}] out) {{
   {body}
   out = Identity (image)
}}"""
    graph = Graph.from_proto(parser.parse_model(text))
    for name in () if case.rows_and_columns else ("x", "y"):
        graph.tensor(name).dtype = np.dtype(np.float32)
        graph.tensor(name).shape = [items, *samples, 1]
    return graph, site_of(case)


def site_of(case: Case) -> Site:
    """The site alone, for what looks at no graph."""
    apart = case.rows_and_columns
    known = not case.dynamic
    three, four = ((0,), (1,), (2,)), ((0,), (1,), (2,), (3,))
    return Site(
        id="site0",
        rule="GSO001",
        policy=case.policy,
        image=View("image", ((0,), (3,), (1,), (2,)) if case.channels_last else four),
        x=View("x", three, units=0 if apart else 1),
        y=View("y", three, units=0 if apart else 1),
        grid=None if apart else View("grid", four),
        coordinates=case.coordinates,  # type: ignore[arg-type]
        align_corners=case.align_corners,
        mask=None,
        output="out",
        output_groups=four,
        output_rank=4,
        reads=(),
        read_op="Gather",
        cone=(),
        batch=case.batch if known else None,
        channels=case.channels if known or case.counted else None,
        image_size=case.image if known else (None, None),
        sample_size=case.samples if known else (None, None),
        dtype=case.dtype,
        layout="NHWC" if case.channels_last else "NCHW",
        index_type=case.index_type,
    )


def lower(case: Case, lowering: Lowering) -> Graph:
    """The graph with the sampler written by a lowering."""
    graph, site = graph_and_site(case)
    if case.told:
        graph.tensor("image").shape = [case.batch, case.channels, "h", "w"]
    _write(graph, site, lowering)
    return graph


def _write(graph: Graph, site: Site, lowering: Lowering) -> None:
    builder, fill = Builder(graph, site.id), float(site.policy.fill)
    samples = emit(lowering, builder, site).samples
    graph.replace_all_uses(graph.tensor("out"), builder.op("Add", samples, fill) if fill else samples)
    graph.remove_dead()


def holding(case: Case, names: str, lowering: Lowering) -> Any:
    """The samples of a lowered case whose file holds its inputs of these names at `feeds(case)`."""
    graph, site = graph_and_site(case)
    model, (inputs, _, _) = graph.to_proto(), feeds(case)
    given = [value for value in model.graph.input if value.name not in names.split()]
    del model.graph.input[:]
    model.graph.input.extend(given)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(inputs[name], name) for name in names.split())
    graph = Graph.from_proto(model)
    _write(graph, site, lowering)
    left = {value.name: inputs[value.name] for value in given}
    return open_session(graph.to_proto(), threads=1).run(None, left)[0]


def gap(case: Case, lowering: Lowering) -> float:
    """The largest difference of a lowered case from the definition; the model has to be valid."""
    model = lower(case, lowering).to_proto()
    onnx.checker.check_model(model, full_check=True)
    inputs, _, _ = feeds(case)
    (actual,) = open_session(model, optimise=False, threads=1).run(None, inputs)
    wanted = expected(replace(case, opset=17, dynamic=False))
    assert actual.shape == wanted.shape
    return float(np.abs(actual - wanted).max())


@cache
def expected(case: Case) -> Any:
    """The definition's samples at `feeds(case)`, whatever the opset and whether sizes are known."""
    inputs, x, y = feeds(case)
    fill = float(case.policy.fill)
    image = inputs["image"].transpose(0, 3, 1, 2) if case.channels_last else inputs["image"]
    return bilinear(image - fill, x, y, case.policy.border, case.policy.window) + fill


def edges(size: int) -> Any:
    """Coordinates on, beside and between the borders of an axis."""
    marks = np.array([-1, -0.5, 0, 0.5, 1, size - 2, size - 1.5, size - 1, size - 0.5, size], np.float32)
    beside = [np.nextafter(marks, np.float32(to)) for to in (-np.inf, np.inf)]
    return np.concatenate([marks, *beside, np.array([-0.0, -1e-38, -1e-7, -1e4, 1e4], np.float32)])


def feeds(case: Case, seed: int = 0) -> tuple[dict[str, Any], Any, Any]:
    """Inputs, and the pixel coordinates x, y that they mean."""
    rng = np.random.default_rng(seed)
    coordinates = []
    for shape, size in ((case.x_shape, case.image[1]), (case.y_shape, case.image[0])):
        near = rng.choice(edges(size), shape)
        anywhere = (rng.random(shape) * (size + 4) - 2).astype(np.float32)
        coordinates.append(np.where(rng.random(shape) < 0.6, near, anywhere))
    x, y = coordinates
    image = rng.standard_normal(case.image_shape).astype(case.dtype)
    if case.rows_and_columns:
        return {"image": image, "x": x, "y": y}, x, y
    grid = np.stack([x, y], -1)
    if case.coordinates == "normalised":
        span = np.array([case.image[1] - 1, case.image[0] - 1])
        grid = (2 * grid.astype(np.float64) / span - 1).astype(np.float32)
        pixels = (grid * np.float32(0.5) + np.float32(0.5)) * span.astype(np.float32)
        x, y = pixels[..., 0], pixels[..., 1]
    return {"image": image, "grid": grid}, x, y


POLICIES = [Policy(border, window) for border in ("zeros", "border") for window in WINDOWS]  # type: ignore[arg-type]
SHAPES = [
    Case(),
    Case(batch=1, channels=1),
    Case(batch=3, channels=16, image=(6, 5), samples=(9, 21)),
    Case(channels=4, image=(2, 2)),
    Case(dynamic=True),
    Case(dynamic=True, batch=1, channels=9, image=(5, 4)),
    Case(one_grid=True, batch=3),
    Case(one_grid=True, batch=3, channels=1),
    Case(one_grid=True, batch=2, channels=10),
    Case(rows_and_columns=True),
    Case(rows_and_columns=True, channels=9),
]


def variants(policy: Policy, opset: int) -> list[Case]:
    """Every shape with this policy at this opset."""
    return [replace(case, policy=policy, opset=opset) for case in SHAPES]
