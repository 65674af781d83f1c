"""Samplers as nodes, in onnxruntime, against the same definition in numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.emit.taps import emit_taps
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.border import BORDERS
from onnxgs_opt.samplers.coordinates import COORDINATES
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.policy import WINDOWS, Policy
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler
from tests.fixtures.oracle import sampled
from tests.lowering.samplers import POLICIES, site_of, variants
from tests.lowering.samplers import gap as lowered_gap
from tests.lowering.taps_lowering import TAPS

SIZES = (7, 4, 5)


def written(sampler: Sampler, opset: int, dynamic: bool) -> onnx.ModelProto:
    """A model of `image` [2, 3, *S] and one input for each axis, [2, P]; the first is shared by both items."""
    axes = range(len(sampler))
    dims = ["n", "c", *(f"s{k}" for k in axes)] if dynamic else [2, 3, *SIZES[: len(axes)]]
    points = ", ".join(f"float[{2 if k else 1}, {'p' if dynamic else 200}] p{k}" for k in axes)
    text = f"""<ir_version: 7, opset_import: ["": {opset}]>
g (float[{", ".join(map(str, dims))}] image, {points}) => (float[{dims[0]}, {dims[1]}, p] out) {{
   out = Identity (p0)
}}"""
    graph = Graph.from_proto(parser.parse_model(text))
    samples = emit_taps(Builder(graph, "taps"), sampler, graph.tensor("image"), [graph.tensor(f"p{k}") for k in axes])
    graph.replace_all_uses(graph.tensor("out"), samples)
    graph.remove_dead()
    return graph.to_proto()


def gap(sampler: Sampler, opset: int = 17, dynamic: bool = False, span: float = 1, halves: bool = False) -> float:
    """The largest difference of what onnxruntime computes from what numpy does."""
    model = written(sampler, opset, dynamic)
    onnx.checker.check_model(model, full_check=True)
    rng = np.random.default_rng(opset)
    image = rng.standard_normal((2, 3, *SIZES[: len(sampler)])).astype(np.float32)
    quarters = rng.integers(-9, 12, (len(sampler), 2, 200)) + rng.choice(
        [0.5] if halves else [0, 0.25, 0.75], (len(sampler), 2, 200)
    )
    anywhere = rng.uniform(-9, 12, quarters.shape)
    points = list((np.where(rng.random(quarters.shape) < 0.5, quarters, anywhere) * span).astype(np.float32))
    points[0] = points[0][:1]
    session = open_session(model, optimise=False, threads=1)
    (found,) = session.run(None, {"image": image, **{f"p{k}": p for k, p in enumerate(points)}})
    wanted = sampled(image, points, sampler)
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max())


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", ["nearest", "linear", "cubic"])
def test_every_kernel_and_border(kernel: str, border: str, axes: int) -> None:
    assert gap(axes * (AxisSpec(KERNELS[kernel], BORDERS[border]),)) < 2e-5


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "linear"])
def test_halfway_between_two_pixels(kernel: str) -> None:
    spec = AxisSpec(KERNELS[kernel], BORDERS["border"])
    assert gap((spec, spec), opset=11, halves=True) < 2e-5


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window(window: str) -> None:
    spec = AxisSpec(KERNELS["linear"], BORDERS["border"], WINDOWS[window])
    assert gap((spec, spec)) < 1e-5


@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize("kernel", ["nearest", "linear", "cubic"])
def test_sizes_that_are_known_late(kernel: str, opset: int) -> None:
    spec = AxisSpec(KERNELS[kernel], BORDERS["reflection"], WINDOWS["reach-closed"])
    assert gap((spec, spec), opset, dynamic=True) < 2e-5


@pytest.mark.parametrize("units", COORDINATES.values(), ids=lambda c: f"{c.name}-{c.align_corners}")
def test_units(units: object) -> None:
    spec = AxisSpec(border=BORDERS["border"], coordinates=units)  # type: ignore[arg-type]
    assert gap((spec, spec), span=0.125) < 2e-5


@pytest.mark.parametrize("policy", [*POLICIES, Policy("reflection")], ids=lambda p: f"{p.border}-{p.window}")
def test_the_example_of_the_documentation(policy: Policy) -> None:
    old, new = Target(opset=10), Target(opset=17)
    for case in variants(policy, 17):
        assert TAPS.refusal(site_of(case), old) is not None
        assert TAPS.refusal(site_of(case), new) is None
        assert lowered_gap(case, TAPS) <= TAPS.tolerance.atol
