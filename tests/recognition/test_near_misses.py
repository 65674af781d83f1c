"""The reason that is told is the condition that failed, whatever else a model does that no sampler has."""

from __future__ import annotations

import re

import numpy as np
import onnx.numpy_helper
import onnx.parser
import pytest

from onnxgs_opt.api import look
from onnxgs_opt.job import load
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.spellings.curated import curated

UNCLIPPED = [s for s in curated().values() if s.policy == "interior" and s.read == "rows"]
"""Indices leave the image, where a mask makes the result zero: a fault in one is the fault that is told."""


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (
            "swapped-taps",
            "GSO101",
            "the pixel (floor(y), floor(x) + 1) counts (1-u)*(1-v), and would have to count u*(1-v)",
        ),
        ("scaled-weight", "GSO101", "the pixel (floor(y), floor(x) + 1) counts 1.125*u*(1-v), and would"),
        ("negated-weight", "GSO101", "counts -u*(1-v), and would have to count u*(1-v)"),
        ("width-off-by-one", "GSO102", " is read in steps of 1, 6 and 35, each of which would have to divide the next"),
        ("batch-offset-wrong", "GSO102", " is read in rows of 7 in images of 28, and 70 is no multiple of that"),
        (
            "output-mask-dropped",
            "GSO103",
            "the pixel (0, 0) counts 1, and would have to count for nothing if it is the nearest",
        ),
        ("two-images", "GSO104", "it adds up reads of 'image' and 'other', and a sampler reads one tensor"),
        ("escape", "GSO105", "between the reads and the sum, is also read by 'escape'"),
        ("mask-bound-high", "GSO107", "it is 0 where 0 <= y < 4 and 5 < x < 6, which is outside no known window"),
        ("same-corner-twice", "GSO112", "it adds up 3 pixels where 0 <= p < 4 and 0 <= q < 6 (p from "),
    ],
)
def test_the_fault_is_told_and_what_would_have_to_be(fault: str, code: str, words: str) -> None:
    """Of samplers whose indices leave the image, too: that hid every other reason once."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == fault)
    model = next(mutant.build(spelling) for spelling in UNCLIPPED if mutant.fits(spelling))
    _, found = look(load(model))
    assert not found.samplers
    (miss,) = found.near_misses
    assert miss.code == code
    assert words in miss.condition


def test_the_read_and_the_coordinates_are_named() -> None:
    """A weight is told at the read of its pixel, not where the image's layout changes before."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "swapped-taps")
    spelling = next(s for s in UNCLIPPED if mutant.fits(s))
    graph, found = look(load(mutant.build(spelling)))
    (miss,) = found.near_misses
    told = re.search(
        r"of 'image' \(x from '(.*)', y from '(.*)'\), but at '(.*)', where",
        miss.condition.replace("[..., 0]", "").replace("[..., 1]", ""),
    )
    assert told is not None, miss.condition
    x, y, read = told.groups()
    assert {x, y} <= {tensor.name for tensor in graph.inputs}
    assert [node.op for node in graph.nodes if node.name == read] == ["Gather"]


def test_what_samples_along_fewer_axes_at_other_sizes_is_none() -> None:
    """The tensors of two coordinates were asked for where there was one: an internal error."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "two-images")
    elements = [
        s for s in curated().values() if (s.policy, s.read, s.dims) == ("border-index", "elements-last", "dynamic")
    ]
    models = [mutant.build(spelling) for spelling in elements if mutant.fits(spelling)]
    assert models
    for model in models:
        assert not look(load(model))[1].samplers


TABLE_OF_ONES = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[4,5] x, float[n,m] like) => (float[n,4,5] out) <float one = {1}, float low = {0}, float high = {7}> {
  size = Shape (like)  ones = Expand (one, size)  p = Clip (x, low, high)  f = Floor (p)  u = Sub (p, f)
  nu = Sub (one, u)
  g0 = Add (f, one)  a = Cast <to = 7> (f)  b = Cast <to = 7> (g0)  ra = Gather <axis = 1> (ones, a)
  rb = Gather <axis = 1> (ones, b)
  ta = Mul (ra, nu)  tb = Mul (rb, u)  out = Add (ta, tb)
}"""


def test_a_table_of_one_number_is_no_image() -> None:
    """It was told that no index depends on an input: all of them do."""
    _, found = look(load(onnx.parser.parse_model(TABLE_OF_ONES)))
    assert not found.samplers
    (miss,) = found.near_misses
    assert (miss.code, "where 'ones' is read tells what is read" in miss.condition) == ("GSO112", True)


UNCLIPPED_ROWS = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[4,5,2] image, float[7] x, float[7] y) => (float[7,2] out)
<int64[2] flat = {20, 2}, float one = {1}, float five = {5}, int64 i1 = {1}, int64 i5 = {5}, int64[1] last = {1}> {
  rows = Reshape (image, flat)  fx = Floor (x)  fy = Floor (y)  u = Sub (x, fx)  v = Sub (y, fy)
  nu = Sub (one, u)  nv = Sub (one, v)  row = Mul (fy, five)  place = Add (row, fx)  a = Cast <to = 7> (place)
  b = Add (a, i1)  c = Add (a, i5)  d = Add (b, i5)
  ra = Gather (rows, a)  rb = Gather (rows, b)  rc = Gather (rows, c)  rd = Gather (rows, d)
  wa = Mul (nu, nv)  wb = Mul (u, nv)  wc = Mul (nu, v)  wd = Mul (u, v)
  va = Unsqueeze (wa, last)  vb = Unsqueeze (wb, last)  vc = Unsqueeze (wc, last)  vd = Unsqueeze (wd, last)
  ta = Mul (ra, va)  tb = Mul (rb, vb)  tc = Mul (rc, vc)  td = Mul (rd, vd)
  s = Add (ta, tb)  t = Add (s, tc)  out = Add (t, td)
}"""


def test_an_index_of_rows_that_nothing_keeps_is_told_as_such() -> None:
    """It was told that it goes past the end of a row, as one that is kept in the image alone may."""
    _, found = look(load(onnx.parser.parse_model(UNCLIPPED_ROWS)))
    assert not found.samplers
    (miss,) = found.near_misses
    assert (miss.code, "may be any number: nothing keeps it inside" in miss.condition) == ("GSO114", True)


def test_an_index_that_is_no_number_is_told() -> None:
    """Torch's linspace of one step is 0/0 in TorchScript, and its batch index that."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 9] lines, float[5] x) => (float[5] out) <float zero = {0}, float last = {8}, int64 one = {1},
         int64 end = {8}, float item = {0}, int64 nine = {9}, int64[1] flat = {-1}>
        {
          k = Cast <to = 7> (item)
          base = Mul (k, nine)
          q = Clip (x, zero, last)
          low = Floor (q)
          u = Sub (q, low)
          i = Cast <to = 7> (low)
          j0 = Add (i, one)
          j = Min (j0, end)
          row = Reshape (lines, flat)
          ia = Add (base, i)
          ja = Add (base, j)
          a = Gather (row, ia)
          b = Gather (row, ja)
          d = Sub (b, a)
          e = Mul (d, u)
          out = Add (a, e)
        }"""
    )
    (item,) = (t for t in model.graph.initializer if t.name == "item")
    item.CopyFrom(onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "item"))
    _, found = look(load(model))
    assert not found.samplers
    (miss,) = found.near_misses
    assert miss.code == "GSO109"
    assert "is no number (NaN)" in miss.condition
