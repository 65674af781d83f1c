"""The model-local function onnxgs::BilinearSample: ONNX that any runtime with functions can run.

One body serves every policy, because TensorRT knows functions by name alone. The attributes select rows of
small tables. They reach the body through EyeLike, whose `k` puts the 1 of a one-hot row, as Constant takes no
attribute by reference before opset 12; runtimes fold all of it.

    image [N, C, H, W], grid [N, Ho, Wo, 2] (x, then y) -> [N, C, Ho, Wo], all float32

The arithmetic is the one of `cells`, with p clamped to [0, S-1] for border, to [-1, S] for zeros.
"""

from __future__ import annotations

from functools import cache

from onnx import FunctionProto, parser

from onnxgs_opt.samplers.op import DOMAIN, NAME
from onnxgs_opt.samplers.policy import WINDOWS, Window

_UNBOUNDED = 1e30  # not inf: a one-hot product would make NaN of it
_FIRST_OPSET_WITH_AXES_INPUT = 13
_TEMPLATE = """
<domain: "{domain}", opset_import: ["": {opset}], doc_string: "Bilinear sampling of image at grid.">
{name} <border, window, coordinates, layout, plugin_namespace, plugin_version> (image, grid) => (output)
{{
   zero = Constant <value = int64 {{0}}> ()
   one = Constant <value = int64 {{1}}> ()
   f0 = Constant <value = float {{0.0}}> ()
   f1 = Constant <value = float {{1.0}}> ()
   f2 = Constant <value = float {{2.0}}> ()
   border_row = Constant <value = float[1,2] {{0.0, 0.0}}> ()
   window_row = Constant <value = float[1,{windows}] {{{blank}}}> ()
   coordinate_row = Constant <value = float[1,3] {{0.0, 0.0, 0.0}}> ()
   window_table = Constant <value = float[{windows},5] {{{table}}}> ()
   coordinate_table = Constant <value = float[3,5] {{0.0, 0.0, 0.0, 1.0, 0.0,   1.0, 0.5, 0.0, 0.0, -0.5,
                                                    1.0, 0.5, -0.5, 0.0, 0.0}}> ()
   margin_table = Constant <value = float[2,1] {{1.0, 0.0}}> ()
   border_hot = EyeLike <dtype: int = 1, k: int = @border> (border_row)
   window_hot = EyeLike <dtype: int = 1, k: int = @window> (window_row)
   coordinate_hot = EyeLike <dtype: int = 1, k: int = @coordinates> (coordinate_row)
   margin = MatMul (border_hot, margin_table)
   w = MatMul (window_hot, window_table)
   c = MatMul (coordinate_hot, coordinate_table)
   k0 = Constant <value = int64[1] {{0}}> ()
   k1 = Constant <value = int64[1] {{1}}> ()
   k2 = Constant <value = int64[1] {{2}}> ()
   k3 = Constant <value = int64[1] {{3}}> ()
   k4 = Constant <value = int64[1] {{4}}> ()
   shift = Gather <axis = 1> (c, k0)
   scale_size = Gather <axis = 1> (c, k1)
   scale_one = Gather <axis = 1> (c, k2)
   scale_pixel = Gather <axis = 1> (c, k3)
   move = Gather <axis = 1> (c, k4)
   low = Gather <axis = 1> (w, k0)
   low_open = Gather <axis = 1> (w, k1)
   high_size = Gather <axis = 1> (w, k2)
   high = Gather <axis = 1> (w, k3)
   high_open = Gather <axis = 1> (w, k4)
   below_zero = Sub (f0, margin)

   shape = Shape (image)
   batch = Gather <axis = 0> (shape, zero)
   channels = Gather <axis = 0> (shape, k1)
   height = Gather <axis = 0> (shape, k2)
   width = Gather <axis = 0> (shape, k3)
   plane = Mul (height, width)
{axes}
   row = Cast <to = 7> (y_first)
   column = Cast <to = 7> (x_first)
   row_start = Mul (row, width)
   in_plane = Add (row_start, column)
   numbers = Range (zero, batch, one)
   column_of_4 = Constant <value = int64[3] {{-1, 1, 1}}> ()
   bases = Mul (numbers, plane)
   bases3 = Reshape (bases, column_of_4)
   index = Add (in_plane, bases3)
   index_shape = Shape (index)
   right = Add (index, one)
   down = Add (index, width)
   down_right = Add (right, width)
   stack_dims = Concat <axis = 0> (k1, index_shape)
   i0 = Reshape (index, stack_dims)
   i1 = Reshape (right, stack_dims)
   i2 = Reshape (down, stack_dims)
   i3 = Reshape (down_right, stack_dims)
   stacked = Concat <axis = 0> (i0, i1, i2, i3)

   channels_last = Transpose <perm = [0, 2, 3, 1]> (image)
   minus_one = Constant <value = int64[1] {{-1}}> ()
   row_dims = Concat <axis = 0> (minus_one, channels)
   rows = Reshape (channels_last, row_dims)
   read = Gather <axis = 0> (rows, stacked)

   x_in = And (x_above, x_below)
   y_in = And (y_above, y_below)
   inside = And (x_in, y_in)
   mask = Cast <to = 1> (inside)
   y_low_in = Mul (y_w0, mask)
   y_high_in = Mul (y_w1, mask)
   w0 = Mul (x_w0, y_low_in)
   w1 = Mul (x_w1, y_low_in)
   w2 = Mul (x_w0, y_high_in)
   w3 = Mul (x_w1, y_high_in)
   weight_dims = Concat <axis = 0> (k1, index_shape, k1)
   v0 = Reshape (w0, weight_dims)
   v1 = Reshape (w1, weight_dims)
   v2 = Reshape (w2, weight_dims)
   v3 = Reshape (w3, weight_dims)
   weights = Concat <axis = 0> (v0, v1, v2, v3)
   terms = Mul (read, weights)
   {sum}
   output = Transpose <perm = [0, 3, 1, 2]> (total)
}}
"""

# p, the first pixel of its cell, both weights, and whether it is in the window, along one axis.
_AXIS = """
   {a}_size = Cast <to = 1> ({size})
   {a}_grid = Gather <axis = 3> (grid, {component})
   {a}_part = Mul ({a}_size, scale_size)
   {a}_part1 = Add ({a}_part, scale_one)
   {a}_scale = Add ({a}_part1, scale_pixel)
   {a}_shifted = Add ({a}_grid, shift)
   {a}_scaled = Mul ({a}_shifted, {a}_scale)
   {a} = Add ({a}_scaled, move)
   {a}_last = Sub ({a}_size, f1)
   {a}_end = Add ({a}_last, margin)
   {a}_least = Max ({a}, below_zero)
   {a}_near = Min ({a}_least, {a}_end)
   {a}_floor = Floor ({a}_near)
   {a}_floor0 = Max ({a}_floor, f0)
   {a}_cells = Sub ({a}_last, f1)
   {a}_first = Min ({a}_floor0, {a}_cells)
   {a}_d = Sub ({a}_near, {a}_first)
   {a}_1md = Sub (f1, {a}_d)
   {a}_1pd = Add ({a}_d, f1)
   {a}_2md = Sub (f2, {a}_d)
   {a}_m0 = Min ({a}_1md, {a}_1pd)
   {a}_m1 = Min ({a}_d, {a}_2md)
   {a}_w0 = Relu ({a}_m0)
   {a}_w1 = Relu ({a}_m1)
   {a}_over = Greater ({a}, low)
   {a}_under_low = Less ({a}, low)
   {a}_not_under = Not ({a}_under_low)
   {a}_low_open = Cast <to = 9> (low_open)
   {a}_not_low_open = Not ({a}_low_open)
   {a}_or_over = Or ({a}_over, {a}_not_low_open)
   {a}_above = And ({a}_not_under, {a}_or_over)
   {a}_high_size = Mul ({a}_size, high_size)
   {a}_high = Add ({a}_high_size, high)
   {a}_under = Less ({a}, {a}_high)
   {a}_over_high = Greater ({a}, {a}_high)
   {a}_not_over = Not ({a}_over_high)
   {a}_high_open = Cast <to = 9> (high_open)
   {a}_not_high_open = Not ({a}_high_open)
   {a}_or_under = Or ({a}_under, {a}_not_high_open)
   {a}_below = And ({a}_not_over, {a}_or_under)
"""


@cache
def sample_function(opset: int) -> FunctionProto:
    """The function's body for models of this opset; only ReduceSum is spelt differently before 13."""
    if opset < _FIRST_OPSET_WITH_AXES_INPUT:
        total = "total = ReduceSum <axes = [0], keepdims = 0> (terms)"
    else:
        total = "total = ReduceSum <keepdims = 0> (terms, k0)"
    rows = [_row(window) for window in WINDOWS.values()]
    text = _TEMPLATE.format(
        domain=DOMAIN,
        name=NAME,
        opset=opset,
        windows=len(rows),
        blank=", ".join(["0.0"] * len(rows)),
        table=", ".join(f"{value!r}" for row in rows for value in row),
        axes=_AXIS.format(a="x", size="width", component="zero") + _AXIS.format(a="y", size="height", component="one"),
        sum=total,
    )
    function: FunctionProto = parser.parse_function(text)
    for node in function.node:  # onnxruntime 1.20 fuses nameless nodes into two of one name
        node.name = node.output[0]
    return function


def _row(window: Window) -> tuple[float, ...]:
    """Lower bound, whether open, factor of S and offset of the upper bound, whether open."""
    low = -_UNBOUNDED if window.lo is None else float(window.lo)
    high = (0.0, _UNBOUNDED) if window.hi is None else (1.0, float(window.hi))
    return low, float(not window.lo_closed), *high, float(not window.hi_closed)
