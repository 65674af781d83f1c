"""Samplers of samplers' results, as image or as coordinates: each is a site, and one run lowers all of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.recognition import search
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CELL, CLAMPED, TERMS, WEIGHTS, four

FIELD = [Path(__file__).parents[1] / "fixtures" / "chains" / name for name in ("chain2.onnx", "sq21.onnx")]
HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
chain (float[1,2,6,7] start, float[6,7] column, float[6,7] row, float[1,2,6,7] still) => ({outputs})
<float zero = {{0}}, float one = {{1}}, float half = {{0.5}}, float xl = {{6}}, float yl = {{5}}, float w = {{7}},
 int64 k0 = {{0}}, int64 k1 = {{1}}, int64[3] lines = {{1, 2, 42}}, int64[4] planes = {{1, 2, 6, 7}},
 int64[1] flat = {{42}}>
{{
"""
SAMPLE = (
    """
  line = Reshape(IMAGE, lines)
  ox = Gather<axis=1>(POINTS, k0)
  oy = Gather<axis=1>(POINTS, k1)
  px = Add(column, ox)
  py = Add(row, oy)
  x = Reshape(px, flat)
  y = Reshape(py, flat)
"""
    + CELL
    + CLAMPED
    + WEIGHTS
    + four("f{k} = Add({row}, {column})", ("ra", "rb"), ("xa", "xb"))
    + four("i{k} = Cast<to=7>(f{k})\n p{k} = Gather<axis=2>(line, i{k})")
    + TERMS
    + ADDED.replace("out", "sum")
    + " sample = Reshape(sum, planes)\n"
)
STEPS = {
    "sample of itself": ("PREVIOUS", "PREVIOUS", "next = Identity(sample)"),
    "squared": ("PREVIOUS", "PREVIOUS", "next = Add(PREVIOUS, sample)"),
    "image": ("PREVIOUS", "still", "next = Identity(sample)"),
    "coordinates": ("still", "PREVIOUS", "next = Identity(sample)"),
    "scaled": ("PREVIOUS", "PREVIOUS", "next = Mul(sample, half)"),
    "halved squares": ("PREVIOUS", "PREVIOUS", "m = Mul(sample, half)\n next = Add(m, PREVIOUS)"),
    "laid out": (
        "PREVIOUS",
        "still",
        "hwc = Transpose<perm=[0, 2, 3, 1]>(sample)\n next = Transpose<perm=[0, 3, 1, 2]>(hwc)",
    ),
}
"""The image and the points of a step, and what it makes of the sample."""


def chain(kind: str, length: int, shared: bool = False) -> onnx.ModelProto:
    """So many steps, each of what the one before makes; `shared`: all of that is read outside of the chain too."""
    image, points, after = STEPS[kind]
    body, previous = "", "start"
    for k in range(length):
        step = f"{SAMPLE}{after}\n".replace("IMAGE", image).replace("POINTS", points).replace("PREVIOUS", "last")
        made = {name for name in re.findall(r"^ *(\w+) =", step, re.MULTILINE)}
        renamed = re.sub(
            r"\b\w+\b", lambda word, made=made, k=k: f"{word[0]}_{k}" if word[0] in made else word[0], step
        )
        body += renamed.replace("last", previous)
        previous = f"next_{k}"
    outputs = [f"next_{k}" for k in range(length)] if shared else [previous]
    head = HEAD.format(outputs=", ".join(f"float[1,2,6,7] {name}" for name in outputs))
    return onnx.parser.parse_model(head + body + "}")


def feeds(seed: int = 0) -> dict[str, np.ndarray]:
    """Fields of a few pixels on a grid of pixels."""
    draw = np.random.default_rng(seed)
    row, column = np.mgrid[0:6, 0:7].astype(np.float32)
    fields = {name: draw.normal(0, 1.5, (1, 2, 6, 7)).astype(np.float32) for name in ("start", "still")}
    return {"column": column, "row": row, **fields}


def lowers_all(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The result of one run, in which every one of `count` samplers is lowered and nothing is left for a second one."""
    result = optimize(model, lowering="merged-gather", measure=False)
    report = result.report
    assert [site.rule for site in report.sites] == ["GSO001"] * count
    assert (len(report.lowered), report.reads.before, report.reads.after) == (count, 4 * count, count)
    assert not report.near_misses
    again = optimize(result.model, check=True, measure=False).report
    assert (again.status, again.exit_code, again.near_misses) == ("dry-run", 0, ())
    assert {site.reason for site in again.sites} <= {"already lowered by onnxgs-opt"}
    return result.model


@pytest.mark.parametrize("length", range(1, 11))
def test_a_field_that_is_squared_ten_times(length: int) -> None:
    assert [site.output for site in find(chain("squared", length))] == [f"sample_{k}" for k in range(length)]


def test_what_is_written_computes_the_same() -> None:
    model = chain("squared", 3)
    (before,), (after,) = run(model, feeds()), run(lowers_all(model, 3), feeds())
    assert np.allclose(before, after, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in STEPS if kind != "squared"])
def test_each_sampler_of_a_chain_is_lowered(kind: str) -> None:
    lowers_all(chain(kind, 2), 2)


def test_what_a_chain_shares_with_others_is_left_to_them() -> None:
    lowers_all(chain("squared", 2, shared=True), 2)


def test_images_that_are_sampled_at_one_point_to_two_scales_and_summed() -> None:
    """As planes of features are, whose sizes differ: three samplers, and none of twelve pixels."""
    body = ""
    scales = ("Identity(pw)", "Mul(pw, half)", "Add(pw, pw)")
    for k, scaled in enumerate(f"pw = Add(column, ox)\n px = {scale}" for scale in scales):
        step = SAMPLE.replace("IMAGE", "start").replace("POINTS", "still").replace("px = Add(column, ox)", scaled)
        made = set(re.findall(r"^ *(\w+) =", step, re.MULTILINE))
        body += re.sub(r"\b\w+\b", lambda word, made=made, k=k: f"{word[0]}_{k}" if word[0] in made else word[0], step)
    head = HEAD.format(outputs="float[1,2,6,7] out")
    lowers_all(onnx.parser.parse_model(head + body + "two = Add(sample_0, sample_1)\n out = Add(two, sample_2)\n}"), 3)


@pytest.mark.parametrize("path", FIELD, ids=lambda path: path.stem)
def test_exports_of_chains(path: Path) -> None:
    model = onnx.load(path)
    lowers_all(model, {"chain2": 2, "sq21": 3}[path.stem])


@pytest.mark.usefixtures("recognised_anew")
@pytest.mark.parametrize("kind", STEPS)
def test_the_order_in_which_sums_are_tried_does_not_matter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(kind, 3)
    wanted = [(site.image.tensor, site.coordinate_views, site.reads) for site in find(model)]
    places = {node.output[0]: k for k, node in enumerate(model.graph.node)}
    rank = search._rank
    monkeypatch.setattr(search, "_rank", lambda join: (*rank(join), -places[join.node.outputs[0].name]))
    assert len(wanted) == 3
    assert [(site.image.tensor, site.coordinate_views, site.reads) for site in find(model)] == wanted
