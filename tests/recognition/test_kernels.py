"""A part of the campaign over samplers of every kernel, and what looks like one and is none."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import onnx.parser
import pytest
from onnx import helper

import onnxgs_opt
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from onnxgs_opt.runtime.ort import open_session
from tests.campaigns.soundness.kernels import judge
from tests.fixtures.kernels import CHANNELS, POINTS, TAPS, Spelling, build, mutants, spellings

AS_GRID_SAMPLE = {
    "found": (
        Spelling("nearest"),
        Spelling("nearest-even", border="zeros", rounded="round", units="edges", dynamic=True),
        Spelling("nearest-down", axes=3, rounded="ceil", opset=20),
        Spelling("floor", border="zeros", rounded="floor", one_grid=True),
        Spelling("cubic", border="zeros", order=10),
        Spelling("cubic"),
        Spelling("cubic", border="zeros", units="edges", one_grid=True, opset=20),
        Spelling("linear", axes=3, opset=20),
        Spelling("linear", axes=3, border="zeros", one_grid=True, opset=20),
        Spelling("nearest", border="reflection"),
        Spelling("nearest-even", border="zeros x wrap", rounded="round", units="corners", dynamic=True),
        Spelling("floor", axes=3, border="symmetric", rounded="floor", opset=20),
        Spelling("cubic", border="reflection"),
        Spelling("cubic", border="symmetric", units="edges", one_grid=True),
        Spelling("linear", axes=3, border="symmetric", opset=20),
    ),
    "kept": (
        Spelling("cubic(-1/2)", border="zeros"),
        Spelling("cubic", border="wrap"),
        Spelling("cubic", border="zeros x border"),
        Spelling("linear", axes=1),
        Spelling("linear", axes=3),  # before opset 20
    ),
}

AS_ONE_NODE = {
    "found": (
        Spelling("nearest", border="zeros", dynamic=True),
        Spelling("nearest-even", rounded="round", units="edges"),
        Spelling("nearest-down", rounded="ceil", one_grid=True),
        Spelling("floor", rounded="floor", border="zeros", units="corners", opset=13),
        Spelling("cubic", border="zeros", one_grid=True, units="edges"),
        Spelling("cubic(-1/2)", dynamic=True),
    ),
    "kept": (Spelling("nearest", axes=3), Spelling("linear", axes=1), Spelling("cubic", axes=1)),
}

LOOKUPS = {
    "an embedding": (
        "int64[4, 5] ids, float[7, 3] other",
        "out = Gather <axis = 0> (table, ids)",
    ),
    "a palette by one number": (
        "float[4, 5] ids, float[7, 3] other",
        """big = Constant <value = float {{15.0}}> ()  scaled = Mul (ids, big)  near = Round (scaled)
   low = Constant <value = float {{0.0}}> ()  held = Clip (near, low, big)  k = Cast <to = 7> (held)
   out = Gather <axis = 0> (table, k)""",
    ),
    "a bucket of a distance": (
        "float[4, 5] ids, float[7, 3] other",
        """size = Abs (ids)  way = Log (size)  k0 = Cast <to = 7> (way)  zero = Constant <value = int64 {{0}}> ()
   last = Constant <value = int64 {{15}}> ()  k1 = Max (k0, zero)  k = Min (k1, last)
   out = Gather <axis = 0> (table, k)""",
    ),
}


SMALL = (
    Spelling("linear", axes=3, clamp_first=True, dynamic=True),
    Spelling("linear", axes=3, clamp_first=True, dynamic=True, units="corners", order=10),
    Spelling("linear", axes=3, clamp_first=True, dynamic=True, units="edges", read="elements", one_grid=True),
    Spelling("cubic", border="border x symmetric", turn="by cases", dynamic=True),
    Spelling("cubic", border="zeros x reflection", dynamic=True, units="corners", order=10),
    Spelling("linear", axes=3, dynamic=True, counts="floats"),
    Spelling("linear", axes=3, dynamic=True, counts="floats", units="corners", border="zeros", read="elements"),
)
"""Along an axis of two pixels the floor of what is clamped is a condition, and the index behind it is one number.

Along one of three that is mirrored beside one that is not, a cubic sample has more taps than there are pixels.

Sizes at which a formula is looked for give a volume more voxels than a float counts: a claim leaves these out.
"""


@pytest.mark.parametrize("spelling", [*itertools.islice(spellings(5), 14), *SMALL], ids=lambda s: s.name)
def test_each_is_found_and_stays_equal(spelling: Spelling) -> None:
    assert judge(spelling) == "found"


FAULTS_OF_SMALL = [replace(s, fault=fault) for s in SMALL for fault in ("clamp", "weight", "tap")]


@pytest.mark.parametrize("mutant", FAULTS_OF_SMALL, ids=lambda s: s.name)
def test_no_fault_in_small_images_is_overlooked(mutant: Spelling) -> None:
    assert judge(mutant) == "refused"


@pytest.mark.parametrize("kernel", ["cubic", "cubic(-1/2)"])
def test_of_a_cubic_look_its_own_kernel_is_told(kernel: str) -> None:
    """That bilinear sampling adds up 4 pixels was told of all that add up more."""
    model = build(Spelling(kernel, fault="clamp", dynamic=True))
    (miss,) = onnxgs_opt.optimize(model, dry_run=True).report.near_misses
    assert (miss.code, miss.condition.startswith(f"it is like {kernel} sampling of 'image'")) == ("GSO103", True)


@pytest.mark.parametrize("axes", [2, 3])
def test_no_claim_is_made_of_more_pixels_than_floats_count(axes: int) -> None:
    """Of fixed sizes it is a near-miss, whose reason names how many there are."""
    spelling = Spelling("linear", axes=axes, dynamic=True, counts="floats")
    (site,) = onnxgs_opt.optimize(build(spelling), dry_run=True).report.sites
    assert site.domain is not None
    assert site.domain.pixels == 2**24
    large = {
        "image": (CHANNELS, *(1 << 24 // axes for _ in range(axes - 1)), 1 + (1 << 24 - (24 // axes) * (axes - 1)))
    }
    points = {name: POINTS for name in "xyz"[:axes]}
    report = onnxgs_opt.optimize(build(spelling), dry_run=True, shapes=large | points).report
    assert not [site for site in report.sites if site.rule != "GSO003"]
    assert [miss.code for miss in report.near_misses] == ["GSO110"]


@pytest.mark.parametrize("mutant", list(itertools.islice(mutants(6), 14)), ids=lambda s: s.name)
def test_no_mutant_is_taken_for_what_it_is_not(mutant: Spelling) -> None:
    assert not judge(mutant).startswith("wrong")


@pytest.mark.parametrize(
    ("spelling", "became"), [(s, became) for became, each in AS_GRID_SAMPLE.items() for s in each], ids=str
)
def test_grid_sample_is_equal_or_refused(spelling: Spelling, became: str) -> None:
    assert judge(spelling, "grid-sample") == became


@pytest.mark.parametrize(
    ("spelling", "became"), [(s, became) for became, each in AS_ONE_NODE.items() for s in each], ids=str
)
def test_one_node_is_equal_or_refused(spelling: Spelling, became: str) -> None:
    assert judge(spelling, "plugin") == became


IN_BLOCKS = [
    *itertools.islice((s for s in spellings(8) if s.kernel in TAPS), 20),
    *itertools.islice((s for s in spellings(9) if s.kernel in TAPS and s.dynamic), 6),
]


@pytest.mark.parametrize("channels", [CHANNELS, 10])
@pytest.mark.parametrize("spelling", IN_BLOCKS, ids=lambda s: s.name)
def test_blocks_of_points_are_equal(spelling: Spelling, channels: int, monkeypatch) -> None:
    """Of many channels the points have to be a known number: 360 here."""
    monkeypatch.setitem(LOWERINGS, "blocked-gather", BlockedGather(elements=10 * 16))
    assert judge(replace(spelling, channels=channels), "blocked-gather") == "found"


def test_blocks_of_one_pixel_are_not_written() -> None:
    spelling = Spelling("nearest")
    assert judge(spelling, "blocked-gather") == "kept"


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_table_that_is_looked_up_is_no_image(name: str) -> None:
    inputs, body = LOOKUPS[name]
    values = ", ".join(["0.5"] * 48)
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
g ({inputs}) => (float[4, 5, 3] out) <float[16, 3] table = {{{values}}}> {{
   {body.format()}
}}"""
    )
    assert onnxgs_opt.find(model) == []


def test_the_whole_job_checks_at_halves_and_says_what_it_found() -> None:
    report = onnxgs_opt.optimize(build(Spelling("nearest-even", rounded="round")), lowering="merged-gather").report
    (site,) = report.sites
    assert (site.rule, site.policy.kind, site.policy.border) == ("GSO005", "nearest (halves to even)", "border")
    assert (report.status, site.error.max_abs, report.validation.status) == ("optimised", 0.0, "ok")
    assert {"packed-gather", "lerp-gather"} <= set(site.refusals)


@pytest.mark.parametrize("kinds", [("float", "double"), ("float16", "float"), ("double", "float16")], ids="-".join)
def test_a_half_is_added_to_each_coordinate_in_its_own_type(kinds: tuple[str, str]) -> None:
    """0.49999997 and a half are 1 as floats, and less as doubles."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["": 18]>
g (float[2, 7, 5] image, {kinds[0]}[3, 40] x, {kinds[1]}[3, 40] y) => (float[2, 3, 40] out)
 <float half = {{0.5}}, int64 zero = {{0}}, int64 four = {{4}}, int64 five = {{5}}, int64 six = {{6}},
  int64[2] rows = {{2, 35}}> {{
   hx = CastLike (half, x)  hy = CastLike (half, y)
   sx = Add (x, hx)  fx = Floor (sx)  ix = Cast <to = 7> (fx)  lx = Max (ix, zero)  cx = Min (lx, four)
   sy = Add (y, hy)  fy = Floor (sy)  iy = Cast <to = 7> (fy)  ly = Max (iy, zero)  cy = Min (ly, six)
   row = Mul (cy, five)  at = Add (row, cx)  flat = Reshape (image, rows)  out = Gather <axis = 1> (flat, at)
}}"""
    )
    rng = np.random.default_rng(0)
    types = [helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in model.graph.input]
    feeds = {"image": rng.standard_normal((2, 7, 5)).astype(np.float32)}
    for name, own in zip("xy", types[1:], strict=True):
        halves = rng.integers(-2, 7, (3, 40)).astype(own) + own.type(0.5)
        feeds[name] = np.nextafter(halves, own.type(0))
    result = onnxgs_opt.optimize(model, lowering="merged-gather")
    assert result.report.status == "optimised"
    before, after = (open_session(m, threads=1).run(None, feeds)[0] for m in (model, result.model))
    np.testing.assert_array_equal(after, before)
    (site,) = onnxgs_opt.optimize(model, lowering="plugin").report.sites
    assert "in another type" in site.refusals["plugin"]
