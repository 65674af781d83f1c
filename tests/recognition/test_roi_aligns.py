"""RoIAlign by hand: what people spell is found and one RoiAlign node computes the same, what is none is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.roi_align import emit_regions, region_refusal, region_tolerance
from onnxgs_opt.passes import lower_sites
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.runtime.ort import open_session
from tests.fixtures.text import replaced

MODELS = Path(__file__).parents[1] / "fixtures" / "rois"
SAMPLES = {
    "crop": 1,
    "flat": 2,
    "kernel": 2,
    "kernel_clipped": 2,
    "kernel_old": 3,
    "kernel_one": 1,
    "rows": 2,
    "rows_clipped": 4,
    "rows_max": 1,  # the node's own maximum is one of weighted pixels
    "rows_mean": 2,
    "rows_old": 2,
    "rows_steps": 1,
    "rows_weights": 2,
    "unrolled": 1,
}
"""Of those that are one node, or one a sample of a bin: the samples that it averages along each axis."""
SIZES = ((2, 2, 2, 1), (2, 9, 11, 5), (3, 40, 33, 17))
"""Images, height, width and boxes where they are dynamic; the second are those of the files."""


def looked_at(model: onnx.ModelProto) -> tuple[Graph, Survey]:
    return look(Graph.from_proto(model))


def inputs(model: onnx.ModelProto, sizes: tuple[int, int, int, int], rng: np.random.Generator) -> dict[str, Any]:
    """An image, and boxes in four times its pixels, some of them outside, turned over or of no extent."""
    count, height, width, boxes = sizes
    features, rois = model.graph.input
    lead = (count,) if len(features.type.tensor_type.shape.dim) == 4 else ()
    corners = (rng.random((boxes, 4)) * 1.6 - 0.3) * np.array([width, height, width, height]) * 4
    corners[::4, 2:] = corners[::4, :2]
    if rois.type.tensor_type.shape.dim[-1].dim_value == 5:
        corners = np.concatenate([rng.integers(-count, count, (boxes, 1)), corners], 1)
    if "crop" in model.graph.doc_string:
        corners = rng.standard_normal((boxes, 4))
    image = rng.standard_normal((*lead, 3, height, width))
    return {features.name: image.astype(np.float32), rois.name: corners.astype(np.float32)}


def both(before: onnx.ModelProto, after: onnx.ModelProto, feeds: dict[str, Any]) -> tuple[Any, Any]:
    first, second = (open_session(model, threads=1).run(None, feeds)[0] for model in (before, after))
    return first, second


@pytest.mark.parametrize(
    "path", [p for p in sorted(MODELS.glob("*.onnx")) if p.name.split(".")[0] in SAMPLES], ids=lambda path: path.stem
)
def test_a_spelling_becomes_a_roi_align_that_computes_the_same(path: Path) -> None:
    model = onnx.load(path)
    model.graph.doc_string = path.stem
    graph, found = looked_at(model)
    assert found.sites == found.roi_aligns
    assert {site.ratio for site in found.roi_aligns} == {SAMPLES[path.name.split(".")[0]]}
    assert [region_refusal(site, Target(graph.opset)) for site in found.roi_aligns] == [None] * len(found.sites)
    after = lower(graph, found.sites, {site.id: "roi-align" for site in found.sites}).to_proto()
    ops = [node.op_type for node in after.graph.node]
    assert ops.count("RoiAlign") == len(found.sites)
    assert not {node.input[0] for node in after.graph.node if node.op_type.startswith("Gather")} & {"features"}
    rng = np.random.default_rng(0)
    for sizes in SIZES if ".dyn" in path.stem else SIZES[1:2]:
        expected, actual = both(model, after, inputs(model, sizes, rng))
        assert np.any(expected)
        allowed = region_tolerance(found.roi_aligns[0], max(sizes))
        np.testing.assert_allclose(actual, expected, rtol=allowed.rtol, atol=allowed.atol)


SPELT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[2,7,9] image, float[6,4] boxes, float[6,4] noise) => (float[2,6,2,3] out)
<float zero = {0}, float one = {1}, float half = {0.5}, float scale = {0.25}, float four = {4}, float low = {-1},
 float H = {7}, float W = {9}, float ly = {6}, float lx = {8}, float wide = {9}, int64[2] flat = {2, -1},
 float[4] ty = {0.125, 0.375, 0.625, 0.875},
 float[6] tx = {0.0833333358, 0.25, 0.416666657, 0.583333313, 0.75, 0.916666687},
 int64[1] first = {1}, int64[1] last = {2}, int64[6] apart = {2, 6, 2, 2, 3, 2}, float[2] even = {0.5, 0.5},
 float most = {28}, float widest = {36}>
{
 bx0, by0, bx1, by1 = Split<axis = 1>(boxes)
 cx0 = Identity(bx0)
 cy0 = Identity(by0)
 cx1 = Identity(bx1)
 cy1 = Identity(by1)
 sx = Mul(cx0, scale)
 sy = Mul(cy0, scale)
 ex = Mul(cx1, scale)
 ey = Mul(cy1, scale)
 startx = Sub(sx, half)
 starty = Sub(sy, half)
 extentx = Sub(ex, sx)
 extenty = Sub(ey, sy)
 stepx = Mul(extentx, tx)
 stepy = Mul(extenty, ty)
 x = Add(startx, stepx)
 y = Add(starty, stepy)
 xc = Max(x, zero)
 yc = Max(y, zero)
 xf = Floor(xc)
 yf = Floor(yc)
 xg = Add(xf, one)
 yg = Add(yf, one)
 xa = Min(xf, lx)
 ya = Min(yf, ly)
 xb = Min(xg, lx)
 yb = Min(yg, ly)
 xl = GreaterOrEqual(xf, lx)
 yl = GreaterOrEqual(yf, ly)
 xp = Where(xl, xa, xc)
 yp = Where(yl, ya, yc)
 u2 = Sub(xp, xa)
 v2 = Sub(yp, ya)
 u = Unsqueeze(u2, first)
 v = Unsqueeze(v2, last)
 nu = Sub(one, u)
 nv = Sub(one, v)
 ra2 = Mul(ya, wide)
 rb2 = Mul(yb, wide)
 ra = Unsqueeze(ra2, last)
 rb = Unsqueeze(rb2, last)
 ca = Unsqueeze(xa, first)
 cb = Unsqueeze(xb, first)
 faa = Add(ra, ca)
 fab = Add(ra, cb)
 fba = Add(rb, ca)
 fbb = Add(rb, cb)
 iaa = Cast<to = 7>(faa)
 iab = Cast<to = 7>(fab)
 iba = Cast<to = 7>(fba)
 ibb = Cast<to = 7>(fbb)
 line = Reshape(image, flat)
 paa = Gather<axis = 1>(line, iaa)
 pab = Gather<axis = 1>(line, iab)
 pba = Gather<axis = 1>(line, iba)
 pbb = Gather<axis = 1>(line, ibb)
 top1 = Mul(paa, nu)
 top2 = Mul(pab, u)
 top = Add(top1, top2)
 bottom1 = Mul(pba, nu)
 bottom2 = Mul(pbb, u)
 bottom = Add(bottom1, bottom2)
 upper = Mul(top, nv)
 lower = Mul(bottom, v)
 all = Add(upper, lower)
 fromx = GreaterOrEqual(x, low)
 fromy = GreaterOrEqual(y, low)
 tox = LessOrEqual(x, W)
 toy = LessOrEqual(y, H)
 inx = And(fromx, tox)
 iny = And(fromy, toy)
 seenx2 = Cast<to = 1>(inx)
 seeny2 = Cast<to = 1>(iny)
 seenx = Unsqueeze(seenx2, first)
 seeny = Unsqueeze(seeny2, last)
 seen = Mul(seeny, seenx)
 samples = Mul(all, seen)
 out = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(samples)
}"""
FREE = (" samples = Mul(all, seen)", " samples = Identity(all)")
CLIPS = tuple(
    (f" c{c} = Identity(b{c})", f" c{c} = Clip(b{c}, zero, {'widest' if c[0] == 'x' else 'most'})")
    for c in ("x0", "y0", "x1", "y1")
)
POOL = " out = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(samples)"
BINS = " bins = Reshape(samples, apart)\n"
Edits = tuple[tuple[str, str], ...]
OLD = ('"" : 17', '"" : 13')
HALF_OPEN: Edits = (
    ("float low = {-1}", "float low = {0}"),
    ("LessOrEqual(x, W)", "Less(x, lx)"),
    ("LessOrEqual(y, H)", "Less(y, ly)"),
)


def _clipped_between(low: int, beyond: int) -> Edits:
    """Boxes clipped so far inside the image, in their own pixels, that samples stay in it when that is 2 or more."""
    last = (("most = {28}", f"most = {{{28 - beyond}}}"), ("widest = {36}", f"widest = {{{36 - beyond}}}"))
    return (
        *((old, new.replace("zero", "least")) for old, new in CLIPS),
        ("float most", f"float least = {{{low}}}, float most"),
        *last,
    )


WRONG: dict[str, Edits] = {
    "a row stands off": (("0.875}", "0.9}"),),
    "a column stands off": (("{0.0833333358", "{0.08"),),
    "rows in another order": (("{0.125, 0.375, 0.625", "{0.125, 0.625, 0.375"),),
    "samples beside the grid": (("y = Add(starty, stepy)", "yn = Add(starty, stepy)\n y = Add(yn, noise)"),),
    "a corner that is not clamped": (("xb = Min(xg, lx)", "xb = Identity(xg)"),),
    "open at the low end": (("fromy = GreaterOrEqual", "fromy = Greater"),),
    "open at the high end": (("tox = LessOrEqual", "tox = Less"),),
    "zero from the first pixel on": (("float low = {-1}", "float low = {0}"),),
    "zero behind the last pixel": (
        ("LessOrEqual(x, W)", "LessOrEqual(x, lx)"),
        ("LessOrEqual(y, H)", "LessOrEqual(y, ly)"),
    ),
    "a mask along rows alone": (("seen = Mul(seeny, seenx)", "seen = Identity(seeny)"),),
    "no mask": (FREE,),
    "no mask and boxes clipped too far outside": (FREE, *CLIPS, ("float most = {28}", "float most = {40}")),
    "no mask and one end not clipped": (FREE, *CLIPS[:3]),
    "weights of the other axis": (("nu = Sub(one, u)", "nu = Sub(one, v)"),),
    "a weight that is not clamped": (("u2 = Sub(xp, xa)", "u2 = Sub(x, xa)"),),
    "corners swapped": (
        ("pab = Gather<axis = 1>(line, iab)", "pab = Gather<axis = 1>(line, iba)"),
        ("pba = Gather<axis = 1>(line, iba)", "pba = Gather<axis = 1>(line, iab)"),
    ),
    "a corner read twice": (("(line, ibb)", "(line, iba)"),),
    "another stride": (("float wide = {9}", "float wide = {8}"),),
    "one axis too large": (("float ly = {6}", "float ly = {5}"),),
    "places squared": (("stepx = Mul(extentx, tx)", "tt = Mul(tx, tx)\n stepx = Mul(extentx, tt)"),),
    "ceil for floor": (("yf = Floor(yc)", "yf = Ceil(yc)"),),
    "boxes clipped to where a window ends": (*_clipped_between(2, 2), *HALF_OPEN),
    "boxes of any length, before opset 16": (OLD,),
    "coordinates in half precision": (
        ("x = Add(startx, stepx)", "xh = Add(startx, stepx)\n xs = Cast<to = 10>(xh)\n x = Cast<to = 1>(xs)"),
    ),
}
"""Faults: what a RoiAlign node would compute otherwise."""
UNSEEN = (
    *("a corner that is not clamped", "open at the low end", "open at the high end"),
    *("boxes of any length, before opset 16", "coordinates in half precision"),
)
"""Faults that random boxes do not show: reads beyond a row's end of weight 0, points exactly at an end, roundings."""
OTHERS: dict[str, tuple[int, Edits]] = {
    "as it is": (2, ()),
    "clipped boxes and no mask": (2, (FREE, *CLIPS)),
    "columns as wide as rows are high": (2, (("Mul(extentx, tx)", "Mul(extenty, tx)"),)),
    "boxes clipped to within a window": (2, (*_clipped_between(3, 3), *HALF_OPEN)),
    "boxes a pixel long at least, before opset 16": (
        2,
        (
            OLD,
            ("extentx = Sub(ex, sx)", "longx = Sub(ex, sx)\n extentx = Max(longx, one)"),
            ("extenty = Sub(ey, sy)", "longy = Sub(ey, sy)\n extenty = Max(longy, one)"),
        ),
    ),
    "another offset along one axis": (2, (("starty = Sub(sy, half)", "starty = Add(sy, half)"),)),
    "sums": (2, ((POOL, POOL.replace("out", "mean") + "\n out = Mul(mean, four)"),)),
    "maxima": (1, ((POOL, POOL.replace("AveragePool", "MaxPool")),)),
    "means of four neighbours": (
        1,
        ((POOL, POOL.replace("strides = [2, 2]", "strides = [2, 2], pads = [1, 1, 0, 0]")), ("[2,6,2,3]", "[2,6,2,3]")),
    ),
    "means by a sum over both axes": (
        2,
        ((POOL, BINS + ' out = Einsum<equation = "kcasbt,s,t->kcab">(bins, even, even)'),),
    ),
    "weighted means": (
        1,
        (
            (POOL, BINS + ' out = Einsum<equation = "kcasbt,s,t->kcab">(bins, even, even)'),
            ("{0.5, 0.5}", "{0.25, 0.75}"),
        ),
    ),
    "means over bins": (1, ((POOL, BINS + ' out = Einsum<equation = "kcasbt,a,t->kcsb">(bins, even, even)'),)),
}
"""What is a RoIAlign too, and how many samples of a bin one node may average."""


def spelt(edits: Edits) -> onnx.ModelProto:
    model = onnx.parser.parse_model(replaced(SPELT, *edits))
    onnx.checker.check_model(model)
    return model


CORNERS = ("aa", "ab", "ba", "bb")
CHOSEN: Edits = (
    ("float[2,7,9] image,", "float[3,2,7,9] image, int64[6] item,"),
    (
        "int64[2] flat = {2, -1}",
        "int64[1] flat = {-1}, int64[2] behind = {1, 2}, int64[2,1,1,1] planes = {0, 63}, int64 volume = {126}, "
        "int64 none = {0}, int64 all3 = {3}, int64 last3 = {2}",
    ),
    (
        " iaa = Cast",
        " chosen = Identity(item)\n start1 = Mul(chosen, volume)\n start3 = Unsqueeze(start1, behind)\n"
        " start = Add(start3, planes)\n iaa = Cast",
    ),
    *((f" i{k} = Cast<to = 7>(f{k})", f" j{k} = Cast<to = 7>(f{k})\n i{k} = Add(start, j{k})") for k in CORNERS),
    ("Gather<axis = 1>(line", "Gather<axis = 0>(line"),
)
PICKED: Edits = (
    ("float[6,4] noise", "float[6,4] noise, float[6] scores"),
    (" bx0,", " best, which = TopK(scores, six)\n of = Gather<axis = 0>(boxes, which)\n bx0,"),
    ("Split<axis = 1>(boxes)", "Split<axis = 1>(of)"),
    ("float most", "int64[1] six = {6}, float most"),
)
"""Boxes that data pick of more, the best by their scores."""
ITEM = "chosen = Identity(item)"
ITEMS: dict[str, tuple[bool, Edits]] = {
    "as it is": (True, CHOSEN),
    "of boxes that data pick": (True, (*CHOSEN, *PICKED, (ITEM, "chosen = Gather<axis = 0>(item, which)"))),
    "counted from the last twice": (
        False,
        (*CHOSEN, (ITEM, "less = Less(item, none)\n more = Add(item, all3)\n chosen = Where(less, more, item)")),
    ),
    "clipped": (False, (*CHOSEN, (ITEM, "chosen = Clip(item, none, last3)"))),
    "without its sign": (False, (*CHOSEN, (ITEM, "chosen = Abs(item)"))),
    "a remainder": (False, (*CHOSEN, (ITEM, "chosen = Mod(item, all3)"))),
    "twice the number": (False, (*CHOSEN, (ITEM, "chosen = Add(item, item)"))),
    "channels before images": (False, (*CHOSEN, ("planes = {0, 63}", "planes = {0, 126}"), ("{126}", "{63}"))),
}
"""By how the number of a box's image is used, whether it is what a RoiAlign node makes of it."""
OPEN: Edits = (
    ("float[3,2,7,9] image", "float[3,2,height,width] image"),
    (" float H = {7}, float W = {9}, float ly = {6}, float lx = {8}, float wide = {9},", ""),
    ("int64[2,1,1,1] planes = {0, 63}, int64 volume = {126}", "int64 two = {2}, int64[2,1,1,1] number = {0, 1}"),
    (
        "{\n bx0,",
        "{\n shape = Shape(image)\n rows = Gather(shape, two)\n columns = Gather(shape, last3)\n"
        " H = Cast<to = 1>(rows)\n W = Cast<to = 1>(columns)\n wide = Identity(W)\n ly = Sub(H, one)\n"
        " lx = Sub(W, one)\n plane = Mul(rows, columns)\n planes = Mul(number, plane)\n volume = Mul(plane, two)\n"
        " bx0,",
    ),
    ("int64 last3 = {2}", "int64 last3 = {3}"),
)
"""After `CHOSEN`: images of whatever height and width, into which places are counted in floats."""


def boxes_of(rng: np.random.Generator) -> dict[str, Any]:
    corners = (rng.random((6, 4)) * 1.8 - 0.4) * np.array([36, 28, 36, 28])
    corners[0, 2:] = corners[0, :2]
    given = {"image": rng.standard_normal((2, 7, 9)), "boxes": corners, "noise": rng.random((6, 4))}
    return {name: value.astype(np.float32) for name, value in given.items()}


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_no_roi_align(name: str) -> None:
    graph, found = looked_at(spelt(WRONG[name]))
    assert all(region_refusal(site, Target(graph.opset)) is not None for site in found.roi_aligns)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in UNSEEN])
def test_a_fault_is_visible(name: str) -> None:
    rng = np.random.default_rng(1)
    pairs = (both(spelt(()), spelt(WRONG[name]), boxes_of(rng)) for _ in range(8))
    assert max(np.abs(before - after).max() for before, after in pairs) > 1e-2


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_one_too_computes_the_same(name: str) -> None:
    ratio, edits = OTHERS[name]
    assert_same(spelt(edits), ratio)


def test_boxes_may_be_picked_of_more() -> None:
    assert_same(spelt(PICKED), 2)


@pytest.mark.parametrize("name", ITEMS)
def test_what_says_which_image_is_read_is_told_apart(name: str) -> None:
    is_one, edits = ITEMS[name]
    model = spelt(edits)
    if is_one:
        assert_same(model, 2)
    else:
        assert not looked_at(model)[1].roi_aligns


@pytest.mark.parametrize("size", [4000, 5000])
def test_sizes_that_are_asked_for_have_to_be_in_the_domain_of_boxes_of_several_images(size: int) -> None:
    """Single precision has every place in a plane of 2^24 pixels, and not every one in a larger plane."""
    graph = Graph.from_proto(spelt((*CHOSEN, *OPEN)))
    (site,) = look(graph)[1].roi_aligns
    assert site.domain.pixels == 2**24
    asked = {name: (size, size) for name in ("height", "width")}
    assert bool(look(graph, stated=asked)[1].roi_aligns) == (size**2 <= 2**24)


def assert_same(model: onnx.ModelProto, ratio: int) -> None:
    graph, found = looked_at(model)
    (site,) = found.roi_aligns
    assert (site.ratio, region_refusal(site, Target(graph.opset))) == (ratio, None)
    after = lower(graph, [site], {site.id: "roi-align"}).to_proto()
    rng = np.random.default_rng(2)
    for _ in range(8):
        feeds = boxes_of(rng)
        feeds["scores"] = rng.random(6).astype(np.float32)
        feeds = {value.name: feeds[value.name] for value in model.graph.input if value.name != "item"}
        if any(value.name == "item" for value in model.graph.input):
            feeds["image"] = rng.standard_normal((3, 2, 7, 9)).astype(np.float32)
            feeds["item"] = rng.integers(-3, 3, 6)
        expected, actual = both(model, after, feeds)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


def test_a_run_takes_what_is_recorded_where_it_does_not_time() -> None:
    report = optimize(onnx.load(MODELS / "kernel_clipped.ts.st.onnx"), measure=False).report
    (site,) = report.sites
    assert (site.rule, site.lowering, site.image, site.grid) == ("GSO007", "roi-align", "features", ("boxes",))
    assert "by our benchmark" in site.reason
    assert 0 < site.error.max_abs < 1e-4
    assert report.validation.status == "ok"


@pytest.mark.parametrize(
    ("name", "lowering"), [("rows_old.ts.st", "lerp-gather"), ("kernel_clipped.ts.st", "merged-gather")]
)
def test_what_is_in_it_has_its_other_lowerings(name: str, lowering: str) -> None:
    """A sampler has all of its own; of reads whose image data choose, the reads merge."""
    report = optimize(onnx.load(MODELS / f"{name}.onnx"), lowering=lowering, avoid=("RoiAlign",)).report
    (site,) = report.sites
    assert (site.lowering, report.validation.status) == (lowering, "ok")
    assert "to be avoided" in site.refusals["roi-align"]


def test_a_node_that_computes_something_else_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(builder: Any, site: Any) -> Any:
        first = site.rows
        return emit_regions(builder, replace(site, rows=replace(first, samples=first.samples - site.ratio)))

    monkeypatch.setattr(lower_sites, "emit_regions", wrong)
    (site,) = optimize(spelt(()), lowering="roi-align").report.sites
    assert site.lowering == "keep"
    assert "failed" in site.reason
