"""Coordinates that vary along some of the points' axes only: rows (K, P) and columns (K, Q) that meet in the read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.text import ADDED, CELL, CLAMPED, four
from tests.fixtures.truth import site_gap

SIZES = {"n": 2, "k": 3, "p": 4, "q": 4}
HEIGHT, WIDTH, CHANNELS = 6, 7, 2


def text(rows: str, columns: str, points: str, dynamic: str = "") -> str:
    """A border sampler of rows of channels: `rows` are the axes of y, `columns` those of x, `points` the output's."""
    size = {a: a if a in dynamic else s for a, s in SIZES.items()}
    items = SIZES["n"] if "n" in points else 1
    absent = {c: [k for k, a in enumerate(points) if a not in axes] for c, axes in (("y", rows), ("x", columns))}
    base = [[HEIGHT * WIDTH * n] for n in range(items)]
    shape = [items if a == "n" else 1 for a in points]
    offsets = "{" + ", ".join(str(n[0]) for n in base) + "}"
    return (
        f"""
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[{items * HEIGHT * WIDTH},{CHANNELS}] image, float[{",".join(str(size[a]) for a in rows)}] y,
 float[{",".join(str(size[a]) for a in columns)}] x) => (float[{",".join(str(size[a]) for a in points)},C] out)
<float zero = {{0}}, float one = {{1}}, float xl = {{{WIDTH - 1}}}, float yl = {{{HEIGHT - 1}}}, float w = {{{WIDTH}}},
 int64[{len(absent["y"])}] by = {{{",".join(map(str, absent["y"]))}}}, int64[1] behind = {{-1}},
 int64[{len(absent["x"])}] bx = {{{",".join(map(str, absent["x"]))}}},
 int64[{",".join(map(str, shape))}] base = {offsets}>
{{
"""
        + CELL
        + CLAMPED
        + """
  r0 = Unsqueeze(ra, by)
  r1 = Unsqueeze(rb, by)
  c0 = Unsqueeze(xa, bx)
  c1 = Unsqueeze(xb, bx)
  vb = Unsqueeze(v, by)
  ub = Unsqueeze(u, bx)
  va = Sub(one, vb)
  uc = Sub(one, ub)
"""
        + four(
            """
  f{k} = Add({row}, {column})
  g{k} = Cast<to=7>(f{k})
  i{k} = Add(g{k}, base)
  p{k} = Gather<axis=0>(image, i{k})
""",
            ("r0", "r1"),
            ("c0", "c1"),
        )
        + four(
            """
  w{k} = Mul({row}, {column})
  q{k} = Unsqueeze(w{k}, behind)
  t{k} = Mul(p{k}, q{k})
""",
            ("va", "vb"),
            ("uc", "ub"),
        )
        + ADDED
        + "}"
    )


FORMS = [
    ("kp", "kq", "kpq", ""),
    ("kp", "kq", "kpq", "k"),
    ("kp", "kq", "kpq", "pq"),
    ("p", "kq", "kpq", "kpq"),
    ("pk", "qk", "pqk", ""),
    ("nkp", "nkq", "nkpq", "k"),
    ("kp", "kpq", "kpq", ""),
]


@pytest.mark.parametrize(("rows", "columns", "points", "dynamic"), FORMS)
def test_rows_and_columns_of_boxes_are_one_sampler(rows, columns, points, dynamic):
    """What one coordinate lacks is repeated, also where two sizes are equal (P and Q) or are not known."""
    model = onnx.parser.parse_model(text(rows, columns, points, dynamic))
    [site] = find(model)
    assert (site.policy.name, site.x.tensor, site.y.tensor) == ("border", "x", "y")
    rng = np.random.default_rng(0)
    shapes = {
        v.name: [d.dim_value or SIZES[d.dim_param] for d in v.type.tensor_type.shape.dim] for v in model.graph.input
    }
    feeds = {name: rng.uniform(-3, 9, shape).astype(np.float32) for name, shape in shapes.items()}
    assert site_gap(model, site, feeds, lambda x, y: np.ones(np.broadcast_shapes(x.shape, y.shape), bool)) < 1e-5
    for lowering in ("merged-gather", "grid-sample"):
        report = optimize(model, lowering=lowering, measure=False).report
        assert (report.status, report.validation.status) == ("optimised", "ok"), lowering
        assert report.sites[0].lowering == lowering


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ub = Unsqueeze(u, bx)", "ub = Unsqueeze(u, by)"),  # weights of columns along the rows
        ("c0 = Unsqueeze(xa, bx)", "c0 = Unsqueeze(xa, by)"),  # a column that the row chooses
        ("vb = Unsqueeze(v, by)", "h = Mul(v, v)\n  vb = Unsqueeze(h, by)"),
        ("u = Sub(x, x0)", "u = Sub(y, y0)"),
    ],
)
def test_rows_and_columns_that_do_not_meet_are_none(old, new):
    whole = text("kp", "kq", "kpq")
    assert whole.count(old) == 1
    assert not find(onnx.parser.parse_model(whole.replace(old, new)))
