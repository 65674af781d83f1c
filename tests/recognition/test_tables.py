"""Cells that are put side by side first, by tables of indices; images of bytes; tables beside the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.read_tables import ReadTables

EXPORTS = Path(__file__).parents[1] / "fixtures" / "deform_exports"
CELLS = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[6,7] image, float[9] x, float[9] y) => (float[9] out)
<int64[2,5] rows = {0, 1, 2, 3, 4, 1, 2, 3, 4, 5}, int64[2,6] columns = {0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6},
 int64[2] flat = {4, 30}, float zero = {0}, float one = {1}, float xl = {6}, float yl = {5}, float xm = {5},
 float ym = {4}, float w = {6}, int64[1] k0 = {0}>
{
  bands = Gather<axis=0>(image, rows)
  cells = Gather<axis=2>(bands, columns)
  side = Transpose<perm=[0, 2, 1, 3]>(cells)
  table = Reshape(side, flat)
  xc = Clip(x, zero, xl)
  yc = Clip(y, zero, yl)
  x0 = Floor(xc)
  y0 = Floor(yc)
  xf = Min(x0, xm)
  yf = Min(y0, ym)
  r = Mul(yf, w)
  f = Add(r, xf)
  i = Cast<to=7>(f)
  p = Gather<axis=1>(table, i)
  u = Sub(xc, xf)
  v = Sub(yc, yf)
  nu = Sub(one, u)
  nv = Sub(one, v)
  wa = Mul(nv, nu)
  wb = Mul(nv, u)
  wc = Mul(v, nu)
  wd = Mul(v, u)
  ua = Unsqueeze(wa, k0)
  ub = Unsqueeze(wb, k0)
  uc = Unsqueeze(wc, k0)
  ud = Unsqueeze(wd, k0)
  ww = Concat<axis=0>(ua, ub, uc, ud)
  t = Mul(p, ww)
  out = ReduceSum<keepdims=0>(t, k0)
}
"""


def test_cells_side_by_side_are_pixels_of_the_image():
    model = onnx.parser.parse_model(CELLS)
    [site] = find(model)
    assert (site.policy.name, site.image.tensor, site.image_size) == ("border", "image", (6, 7))
    report = optimize(model, lowering="merged-gather", measure=False).report
    assert (report.status, report.validation.status) == ("optimised", "ok")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{0, 1, 2, 3, 4, 1, 2, 3, 4, 5}", "{0, 1, 2, 3, 4, 1, 2, 3, 4, 4}"),  # the last row is another one
        ("{0, 1, 2, 3, 4, 1, 2, 3, 4, 5}", "{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}"),  # the same row twice
        ("xf = Min(x0, xm)", "xf = Identity(x0)"),  # one column too far, which is the next row of cells
        ("Transpose<perm=[0, 2, 1, 3]>(cells)", "Identity(cells)"),
    ],
)
def test_other_cells_are_none(old, new):
    assert CELLS.count(old) == 1
    assert not [site for site in find(onnx.parser.parse_model(CELLS.replace(old, new))) if site.rule == "GSO001"]


def test_an_image_of_bytes_is_sampled():
    text = CELLS.replace("float[6,7] image", "uint8[6,7] image").replace(
        "p = Gather<axis=1>(table, i)", "b = Gather<axis=1>(table, i)\n  p = Cast<to=1>(b)"
    )
    model = onnx.parser.parse_model(text)
    [site] = find(model)
    assert (site.image.tensor, site.dtype) == ("image", "uint8")
    report = optimize(model, lowering="merged-gather", measure=False).report
    assert (report.status, report.validation.status) == ("optimised", "ok")


LABELS = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (int64[H,W] labels, float[9] x, float[9] y) => (int64[9] out)
<int64 none = {0}, int64 one = {1}, int64[2] line = {1, -1}, int64[2] sides = {1, 1}, int64[1] k0 = {0}>
{
  sizes = Shape(labels)
  h1, w1 = Split(sizes, sides)
  h = Squeeze(h1, k0)
  w = Squeeze(w1, k0)
  yl = Sub(h, one)
  xl = Sub(w, one)
  xr = Round(x)
  yr = Round(y)
  xi = Cast<to=7>(xr)
  yi = Cast<to=7>(yr)
  xa = Max(xi, none)
  ya = Max(yi, none)
  xb = Min(xa, xl)
  yb = Min(ya, yl)
  r = Mul(yb, w)
  i = Add(r, xb)
  row = Reshape(labels, line)
  read = Gather<axis=1>(row, i)
  out = Squeeze(read, k0)
}
"""


@pytest.mark.parametrize("sizes", ["6,7", "h,w"])
def test_an_image_of_whole_numbers_is_sampled(sizes):
    """Classes of pixels, of any number of bytes: what has rows is no shape."""
    source = onnx.parser.parse_model(LABELS.replace("H,W", sizes))
    result = optimize(source, lowering="merged-gather", require_match=1, measure=False)
    [site] = result.report.sites
    assert (site.rule, site.policy.border) == ("GSO005", "border")
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


@pytest.fixture
def beside(tmp_path):
    """The model with all of its constants in a file beside it."""
    path = tmp_path / "cells.onnx"
    model = onnx.parser.parse_model(CELLS)
    for k, tensor in enumerate(model.graph.initializer):  # raw bytes alone go to another file
        raw = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name)
        model.graph.initializer[k].CopyFrom(raw)
    onnx.save(model, path, save_as_external_data=True, location="cells.data", size_threshold=0)
    return path


def test_tables_beside_the_model_are_read(beside):
    """As torch writes them: where a batch's items are counted by a table, no sampler could be told otherwise."""
    graph = Graph.load(beside)
    assert ReadTables().run(graph)
    read = {t.name for t in graph.tensors().values() if isinstance(getattr(t, "_values", None), np.ndarray)}
    assert read == {tensor.name for tensor in onnx.load(beside, load_external_data=False).graph.initializer}
    assert not ReadTables().run(graph)


def test_places_beside_the_model_are_read_and_kernels_are_not(tmp_path):
    """Where the points of a deformable convolution stand is a table of floats, which torch writes there too."""
    model = onnx.load(EXPORTS / "hand.dy18.st.onnx")
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=256)
    assert [site.rule for site in optimize(path, dry_run=True).report.sites] == ["GSO006"]
    result = optimize(path, tmp_path / "out.onnx", lowering="merged-gather", measure=False).report
    assert (result.status, result.validation.status) == ("optimised", "ok")
    written = onnx.load(tmp_path / "out.onnx", load_external_data=False).graph.initializer
    kernels = [tensor.name for tensor in written if tensor.data_location == onnx.TensorProto.EXTERNAL]
    assert {"pc.weight", "mc.weight"} <= set(kernels)


def test_a_table_that_is_not_there_stays_where_it_is(beside):
    (beside.parent / "cells.data").unlink()
    graph = Graph.load(beside)
    assert not ReadTables().run(graph)


def test_a_sparse_constant_is_no_table_beside_the_model(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) { y = Add(x, s) }'
    )
    values = onnx.helper.make_tensor("s", onnx.TensorProto.FLOAT, [1], [2.0])
    places = onnx.helper.make_tensor("s_at", onnx.TensorProto.INT64, [1], [1])
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [4]))
    onnx.save(model, tmp_path / "m.onnx")
    assert not ReadTables().run(Graph.load(tmp_path / "m.onnx"))
