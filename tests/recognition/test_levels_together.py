"""Points of several levels rounded together: what each level lacks is told of their sum, not how many points it has."""

from __future__ import annotations

import onnx.parser

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from tests.fixtures.text import four

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[7,9] image, float[2,40,2] places) => (float[40] out)
<float[2,1,2] spans = {9, 7, 18, 14}, float one = {1}, int64 first = {0}, int64 second = {1}, int64 w = {9},
 int64[4,2] steps = {0, 0, 1, 0, 0, 1, 1, 1}, int64[1] k2 = {2}, int64 third = {2},
 int64 zero = {0}, int64 right = {8}, int64 bottom = {6}, int64[1] k9 = {-1}>
{
  pixels = Mul(places, spans)
  lower = Floor(pixels)
  shares = Sub(pixels, lower)
  others = Sub(one, shares)
  places64 = Cast<to=7>(lower)
  apart = Unsqueeze(places64, k2)
  corners = Add(apart, steps)
  line = Reshape(image, k9)
"""
LEVEL = """
  cells{n} = Gather<axis=0>(corners, {level})
  f{n} = Gather<axis=0>(shares, {level})
  g{n} = Gather<axis=0>(others, {level})
  columns{n} = Gather<axis=2>(cells{n}, first)
  rows{n} = Gather<axis=2>(cells{n}, second)
  x0{n} = Gather<axis=1>(columns{n}, first)
  x1{n} = Gather<axis=1>(columns{n}, second)
  y0{n} = Gather<axis=1>(rows{n}, first)
  y1{n} = Gather<axis=1>(rows{n}, third)
  u{n} = Gather<axis=1>(f{n}, first)
  v{n} = Gather<axis=1>(f{n}, second)
  nu{n} = Gather<axis=1>(g{n}, first)
  nv{n} = Gather<axis=1>(g{n}, second)
"""
CORNER = """
  X{n}k = Clip({column}{n}, zero, right)
  Y{n}k = Clip({row}{n}, zero, bottom)
  R{n}k = Mul(Y{n}k, w)
  I{n}k = Add(R{n}k, X{n}k)
  P{n}k = Gather<axis=0>(line, I{n}k)
"""


def level(n: int, name: str) -> str:
    corners = four(CORNER.replace("k", "{k}").replace("{n}", str(n)), ("y0", "y1"), ("x0", "x1"))
    weighed = "".join(
        f"  W{n}{k} = Mul({u}{n}, {v}{n})\n  T{n}{k} = Mul(P{n}{k}, W{n}{k})\n"
        for k, u, v in zip("abcd", ("nu", "u", "nu", "u"), ("nv", "nv", "v", "v"), strict=True)
    )
    added = f"  A{n} = Add(T{n}a, T{n}b)\n  B{n} = Add(A{n}, T{n}c)\n  S{n} = Add(B{n}, T{n}d)\n"
    return LEVEL.format(n=n, level=name) + corners + weighed + added


def test_what_the_first_lacks_is_told() -> None:
    text = HEAD + level(0, "first") + level(1, "second") + "  out = Add(S0, S1)\n}"
    _, found = look(Graph.from_proto(onnx.parser.parse_model(text)))
    [miss] = found.near_misses
    assert (miss.code, miss.node) == ("GSO108", "S0/Add")
    assert miss.condition.startswith("no tensor holds the pixel coordinates by themselves")
