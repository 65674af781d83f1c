"""The model-local function onnxgs::BilinearSample: ONNX that any runtime with functions can run.

One body serves every node of a model, because TensorRT knows functions by name alone. The codes of the attributes
select rows of small tables. They reach the body through EyeLike, whose `k` puts the 1 of a one-hot row, as Constant
takes no attribute by reference before opset 12; runtimes fold all of it. Types and layouts reach it as the attributes
of Cast and Transpose. `samplers.op` says what the operator computes.

The arithmetic is the one of `cells`, with p clamped to [0, S-1], for zeros to [-1, S]. Coordinates, weights and the
mask are [1, N, Ho, Wo], the first axis being that of the four corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import inf

from onnx import FunctionProto, parser

from onnxgs_opt.samplers.op import ATTRIBUTES, DOMAIN, NAME
from onnxgs_opt.samplers.policy import WINDOWS, Window

_FIRST_OPSET_WITH_AXES_INPUT = 13
_FIRST_OPSET_WITH_LISTS_BY_REFERENCE = 12
OPENING = """
<domain: "{domain}", opset_import: ["": {opset}], doc_string: "{what} sampling of image at grid.">
{name} <{attributes}> (image, grid) => (output{mask})
{{
"""
CODES = """\
   zero = Constant <value = int64 {{0}}> ()
   one = Constant <value = int64 {{1}}> ()
   border_row = Constant <value = float[1,{borders}] {{{border_blank}}}> ()
   window_row = Constant <value = float[1,{windows}] {{{window_blank}}}> ()
   coordinate_row = Constant <value = float[1,3] {{0.0, 0.0, 0.0}}> ()
   border_hot = EyeLike <dtype: int = 1, k: int = @border> (border_row)
   window_hot = EyeLike <dtype: int = 1, k: int = @window> (window_row)
   coordinate_hot = EyeLike <dtype: int = 1, k: int = @coordinates> (coordinate_row)
   border_number = ArgMax <axis = 1, keepdims = 0> (border_hot)
   window_number = ArgMax <axis = 1, keepdims = 0> (window_hot)
   coordinate_number = ArgMax <axis = 1, keepdims = 0> (coordinate_hot)
   border_table = Constant <value = float[{borders},{border_columns}] {{{border_table}}}> ()
   window_table = Constant <value = float[{windows},5] {{{window_table}}}> ()
   coordinate_table = Constant <value = float[3,5] {{0.0, 0.0, 0.0, 1.0, 0.0,   1.0, 0.5, 0.0, 0.0, -0.5,
                                                    1.0, 0.5, -0.5, 0.0, 0.0}}> ()
   border_values = Gather <axis = 0> (border_table, border_number)
   window_values = Gather <axis = 0> (window_table, window_number)
   coordinate_values = Gather <axis = 0> (coordinate_table, coordinate_number)
   numbers = Constant <value = float[4] {{0.0, 1.0, 2.0, 3.0}}> ()
   b = Cast <to: int = @grid_type> (border_values)
   w = Cast <to: int = @grid_type> (window_values)
   c = Cast <to: int = @grid_type> (coordinate_values)
   f = Cast <to: int = @grid_type> (numbers)
   k0 = Constant <value = int64[1] {{0}}> ()
   k1 = Constant <value = int64[1] {{1}}> ()
   k2 = Constant <value = int64[1] {{2}}> ()
   k3 = Constant <value = int64[1] {{3}}> ()
   k4 = Constant <value = int64[1] {{4}}> ()
   f0 = Gather <axis = 0> (f, k0)
   f1 = Gather <axis = 0> (f, k1)
   f2 = Gather <axis = 0> (f, k2)
   f3 = Gather <axis = 0> (f, k3)
   margin = Gather <axis = 1> (b, k0)
   shift = Gather <axis = 1> (c, k0)
   scale_size = Gather <axis = 1> (c, k1)
   scale_one = Gather <axis = 1> (c, k2)
   scale_pixel = Gather <axis = 1> (c, k3)
   move = Gather <axis = 1> (c, k4)
   low = Gather <axis = 1> (w, k0)
   low_closed_value = Gather <axis = 1> (w, k1)
   high_size = Gather <axis = 1> (w, k2)
   high = Gather <axis = 1> (w, k3)
   high_closed_value = Gather <axis = 1> (w, k4)
   low_closed = Cast <to = 9> (low_closed_value)
   high_closed = Cast <to = 9> (high_closed_value)
"""
"""From the attributes to numbers in the grid's type: what the border, the window and the unit say."""

_BORDER = """\
   below_zero = Sub (f0, margin)
   origin = Gather <axis = 1> (b, k1)
   beyond = Gather <axis = 1> (b, k2)
   mirrors_value = Gather <axis = 1> (b, k3)
   mirrors = Cast <to = 9> (mirrors_value)

"""
SHAPES = """\
   channels_last = Transpose <perm: ints = @to_rows> (image)
   shape = Shape (channels_last)
   batch = Gather <axis = 0> (shape, zero)
   height = Gather <axis = 0> (shape, k1)
   width = Gather <axis = 0> (shape, k2)
   plane = Mul (height, width)
   {points}
"""
PLANE_INDEX = """\
   row = Cast <to = 7> (y_first)
   column = Cast <to = 7> (x_first)
   row_start = Mul (row, width)
   in_plane = Add (row_start, column)
   items = Range (zero, batch, one)
   beside_points = Constant <value = int64[4] {{1, -1, 1, 1}}> ()
   bases = Mul (items, plane)
   bases4 = Reshape (bases, beside_points)
"""
"""The first pixel's index within one plane, and what is to be added for its item."""

_READS = """\
   index = Add (in_plane, bases4)
   down_step = Mul (y_step, width)
   right = Add (index, x_step)
   down = Add (index, down_step)
   down_right = Add (right, down_step)
   stacked = Concat <axis = 0> (index, right, down, down_right)

   rows = Flatten <axis = 3> (channels_last)
   read = Gather <axis = 0> (rows, stacked)
   pixels = Cast <to: int = @sum_type> (read)

"""
IN_WINDOW = """\
   x_in = And (x_above, x_below)
   y_in = And (y_above, y_below)
   inside = And (x_in, y_in)
"""
_SUM = """\
   in_window = Cast <to: int = @grid_type> (inside)
   y_low_in = Mul (y_w0, in_window)
   y_high_in = Mul (y_w1, in_window)
   w0 = Mul (x_w0, y_low_in)
   w1 = Mul (x_w1, y_low_in)
   w2 = Mul (x_w0, y_high_in)
   w3 = Mul (x_w1, y_high_in)
   corners = Concat <axis = 0> (w0, w1, w2, w3)
   in_sum_type = Cast <to: int = @sum_type> (corners)
   {weights}
   terms = Mul (pixels, weights)
   {sum}
   samples = Cast <to: int = @image_type> (total)
   output = Transpose <perm: ints = @from_rows> (samples)
"""
CLOSING = "{masks}\n}}\n"


# p, the first pixel of its cell, both weights, and whether it is in the window, along one axis. On an axis of a single
# pixel the second one has weight 0, and the first is read in its place.
POINT = """\

   {a}_size = Cast <to: int = @grid_type> ({size})
   {a}_grid = Gather <axis = 4> (points, {component})
   {a}_part = Mul ({a}_size, scale_size)
   {a}_part1 = Add ({a}_part, scale_one)
   {a}_scale = Add ({a}_part1, scale_pixel)
   {a}_shifted = Add ({a}_grid, shift)
   {a}_scaled = Mul ({a}_shifted, {a}_scale)
   {a} = Add ({a}_scaled, move)
   {a}_last = Sub ({a}_size, f1)
"""
"""Along one axis: the size S and p."""

_AXIS = """\
   {a}_end = Add ({a}_last, margin)
{mirror}
   {a}_least = Max ({a}_placed, below_zero)
   {a}_near = Min ({a}_least, {a}_end)
   {a}_floor = Floor ({a}_near)
   {a}_cells = Sub ({a}_last, f1)
   {a}_floor0 = Min ({a}_floor, {a}_cells)
   {a}_first = Max ({a}_floor0, f0)
   {a}_step_value = Min ({a}_last, f1)
   {a}_step = Cast <to = 7> ({a}_step_value)
   {a}_three = Mul ({a}_last, f3)
   {a}_reach = Sub ({a}_three, f1)
   {a}_reach2 = Min ({a}_reach, f2)
   {a}_d = Sub ({a}_near, {a}_first)
   {a}_1md = Sub (f1, {a}_d)
   {a}_1pd = Add ({a}_d, f1)
   {a}_2md = Sub ({a}_reach2, {a}_d)
   {a}_m0 = Min ({a}_1md, {a}_1pd)
   {a}_m1 = Min ({a}_d, {a}_2md)
   {a}_w0 = Relu ({a}_m0)
   {a}_w1 = Relu ({a}_m1)
"""
WINDOW = """\
   {a}_over = Greater ({a}, low)
   {a}_at_low = Equal ({a}, low)
   {a}_on_low = And ({a}_at_low, low_closed)
   {a}_above = Or ({a}_over, {a}_on_low)
   {a}_high_size = Mul ({a}_size, high_size)
   {a}_high = Add ({a}_high_size, high)
   {a}_under = Less ({a}, {a}_high)
   {a}_at_high = Equal ({a}, {a}_high)
   {a}_on_high = And ({a}_at_high, high_closed)
   {a}_below = Or ({a}_under, {a}_on_high)
"""
"""Whether p is in the window."""

_MASK = """
   inside_first = Transpose <perm: ints = @mask_axes> (inside)
   mask_value = Cast <to: int = @image_type> (inside_first)
   mask_shape = Constant <value_ints: ints = @mask_shape> ()
   mask = Reshape (mask_value, mask_shape)
"""
_MASK_BEFORE_12 = """
   inside3 = Squeeze <axes = [0]> (inside)
   mask = Cast <to: int = @image_type> (inside3)
"""

_AS_IT_IS = "   {a}_placed = Identity ({a})"
_MIRROR = """
   {a}_span = Add ({a}_last, beyond)
   {a}_twice = Mul ({a}_span, f2)
   {a}_period = Max ({a}_twice, f1)
   {a}_moved = Sub ({a}, origin)
   {a}_from_origin = Abs ({a}_moved)
   {a}_periods_value = Div ({a}_from_origin, {a}_period)
   {a}_periods = Floor ({a}_periods_value)
   {a}_whole = Mul ({a}_periods, {a}_period)
   {a}_phase = Sub ({a}_from_origin, {a}_whole)
   {a}_back = Sub ({a}_period, {a}_phase)
   {a}_distance = Min ({a}_phase, {a}_back)
   {a}_mirrored = Add ({a}_distance, origin)
   {a}_placed = Where (mirrors, {a}_mirrored, {a})
"""

AXES = (("x", "width", "zero"), ("y", "height", "one"))
"""Name, size and component of the grid of each axis."""

_BORDERS = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, -0.5, 1.0, 1.0))
"""By code: how far p may be outside, the origin of mirroring, what its span has beyond S-1, whether it mirrors."""


@cache
def sample_function(opset: int, mirrors: bool = False, masks: bool = False) -> FunctionProto:
    """The body of BilinearSample for models of this opset.

    `mirrors`: some of the model's nodes have a mirrored border; `masks`: some use their mask, and all then name it or
    leave its name empty, because onnxruntime refuses a node with fewer outputs than its function. ReduceSum and
    Unsqueeze are spelt differently before opset 13, and before opset 12 a mask is [N, Ho, Wo].
    """
    axes = [axis_text(_AXIS, *axis, mirror=(_MIRROR if mirrors else _AS_IT_IS).format(a=axis[0])) for axis in AXES]
    text = (CODES, _BORDER, SHAPES, *axes, PLANE_INDEX, _READS, IN_WINDOW, _SUM)
    return parsed(
        NAME,
        text,
        opset,
        masks,
        what="Bilinear",
        attributes=ATTRIBUTES,
        border_table=_BORDERS,
        weights=over(opset, "weights = Unsqueeze", "in_sum_type", 4),
        sum=over(opset, "total = ReduceSum", "terms", 0, "keepdims = 0"),
    )


def parsed(
    name: str,
    sections: Iterable[str],
    opset: int,
    masks: bool,
    *,
    border_table: Sequence[Sequence[float]],
    attributes: Sequence[str],
    **values: str,
) -> FunctionProto:
    """The function whose text the sections are, one behind the other, with their braces filled in."""
    rows = [_row(window) for window in WINDOWS.values()]
    text = "".join((OPENING, *sections, CLOSING)).format(
        domain=DOMAIN,
        name=name,
        opset=opset,
        attributes=", ".join(attributes),
        borders=len(border_table),
        border_columns=len(border_table[0]),
        border_blank=listed([0.0] * len(border_table)),
        border_table=listed(value for row in border_table for value in row),
        windows=len(rows),
        window_blank=listed([0.0] * len(rows)),
        window_table=listed(value for row in rows for value in row),
        points=over(opset, "points = Unsqueeze", "grid", 0),
        mask=", mask" if masks else "",
        masks=(_MASK if opset >= _FIRST_OPSET_WITH_LISTS_BY_REFERENCE else _MASK_BEFORE_12) if masks else "",
        **values,
    )
    function: FunctionProto = parser.parse_function(text)
    for node in function.node:  # onnxruntime 1.20 fuses nameless nodes into two of one name
        node.name = node.output[0]
    return function


def axis_text(cell: str, name: str, size: str, component: str, **values: str) -> str:
    """What one axis computes, `cell` between its point and its window; braces for `parsed` are doubled."""
    text = (POINT + cell + WINDOW).format(a=name, size=size, component=component, **values)
    return text.replace("{", "{{").replace("}", "}}")


def over(opset: int, node: str, operand: str, axis: int, *attributes: str) -> str:
    """A node over one axis, which is an attribute before opset 13 and an input from then on."""
    if opset < _FIRST_OPSET_WITH_AXES_INPUT:
        return f"{node} <{', '.join((f'axes = [{axis}]', *attributes))}> ({operand})"
    return f"{node} <{', '.join(attributes)}> ({operand}, k{axis})" if attributes else f"{node} ({operand}, k{axis})"


def listed(values: Iterable[float]) -> str:
    """Numbers as the parser wants them."""
    return ", ".join(f"{value!r}" for value in values)


def _row(window: Window) -> tuple[float, ...]:
    """Lower bound, whether closed, factor of S and offset of the upper one, whether closed; no bound is inf, closed."""
    low = (-inf, 1.0) if window.lo is None else (float(window.lo), float(window.lo_closed))
    high = (0.0, inf, 1.0) if window.hi is None else (1.0, float(window.hi), float(window.hi_closed))
    return *low, *high
