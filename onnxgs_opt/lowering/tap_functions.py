"""The model-local functions onnxgs::NearestSample, of one read, and onnxgs::CubicSample, of sixteen.

They share with `function` how codes become numbers, coordinates pixels, and pixels rows of the image. A border acts on
the index of a pixel that is read, as `samplers.border` has it: r = i + margin - period * floor((i + margin) / period)
is where a period of `times` * S + `more` leaves it, min(r, back * period - r) - margin is mirrored where `back` is 1.
Pixels of one axis lie along the first one of [T, N, Ho, Wo].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from onnx import FunctionProto

from onnxgs_opt.lowering.function import AXES, CODES, IN_WINDOW, PLANE_INDEX, SHAPES, axis_text, listed, over, parsed
from onnxgs_opt.samplers.op import ATTRIBUTES, CUBIC, KERNEL_CODES, NEAREST

_BORDER = """\
   lenient_value = Gather <axis = 1> (b, k1)
   lenient = Cast <to = 9> (lenient_value)
   times = Gather <axis = 1> (b, k2)
   more = Gather <axis = 1> (b, k3)
   back = Gather <axis = 1> (b, k4)
   k5 = Constant <value = int64[1] {{5}}> ()
   moves_value = Gather <axis = 1> (b, k5)
   moves = Cast <to = 9> (moves_value)
   kernel_row = Constant <value = float[1,{kernels}] {{{kernel_blank}}}> ()
   kernel_hot = EyeLike <dtype: int = 1, k: int = @kernel> (kernel_row)
   kernel_number = ArgMax <axis = 1, keepdims = 0> (kernel_hot)
   kernel_table = Constant <value = float[{kernels},4] {{{kernel_table}}}> ()
   kernel_values = Gather <axis = 0> (kernel_table, kernel_number)
   n = Cast <to: int = @grid_type> (kernel_values)
   n0 = Gather <axis = 1> (n, k0)
   n1 = Gather <axis = 1> (n, k1)
   n2 = Gather <axis = 1> (n, k2)
   n3 = Gather <axis = 1> (n, k3)
"""
_BORDERS = (
    (0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 2.0, -2.0, 1.0, 1.0),
    (0.5, 1.0, 2.0, 0.0, 1.0, 1.0),
    (0.0, 1.0, 1.0, 0.0, 2.0, 1.0),
)
"""By code: margin, 1 where a pixel outside counts, times, more, back, and 1 where it is moved by periods."""

# Of whole numbers {a}_tap the indices {a}_first, and whether each counts: for zeros, those that are in the image.
_INDEX = """\
{move}
   {a}_least = Max ({a}_placed, f0)
   {a}_first = Min ({a}_least, {a}_last)
   {a}_same = Equal ({a}_tap, {a}_first)
   {a}_counts = Or ({a}_same, lenient)
"""
_AS_IT_IS = "   {a}_placed = Identity ({a}_tap)"
_MOVE = """\
   {a}_times = Mul ({a}_size, times)
   {a}_span = Add ({a}_times, more)
   {a}_period = Max ({a}_span, f1)
   {a}_shifted_tap = Add ({a}_tap, margin)
   {a}_periods_value = Div ({a}_shifted_tap, {a}_period)
   {a}_periods = Floor ({a}_periods_value)
   {a}_whole = Mul ({a}_period, {a}_periods)
   {a}_phase = Sub ({a}_shifted_tap, {a}_whole)
   {a}_far_end = Mul ({a}_period, back)
   {a}_from_end = Sub ({a}_far_end, {a}_phase)
   {a}_distance = Min ({a}_phase, {a}_from_end)
   {a}_moved = Sub ({a}_distance, margin)
   {a}_placed = Where (moves, {a}_moved, {a}_tap)"""

_TIES = """\
   down = Cast <to = 9> (n1)
   away = Cast <to = 9> (n2)
   to_even = Cast <to = 9> (n3)

"""
_ROUNDINGS = {
    "nearest": (0.5, 0.0, 0.0, 0.0),
    "nearest-even": (0.5, 0.0, 0.0, 1.0),
    "nearest-away": (0.5, 0.0, 1.0, 0.0),
    "nearest-down": (0.5, 1.0, 0.0, 0.0),
    "floor": (0.0, 0.0, 0.0, 0.0),
}
"""What is added before the floor; 1 where a half goes down, where it does so below 0, where it goes to the even one."""

_NEAREST = (
    """\
   {a}_more = Add ({a}, n0)
   {a}_forward = Floor ({a}_more)
   {a}_less = Sub (n0, {a})
   {a}_less_floor = Floor ({a}_less)
   {a}_backward = Sub (f0, {a}_less_floor)
   {a}_even = Round ({a})
   {a}_negative = Less ({a}, f0)
   {a}_turned = And ({a}_negative, away)
   {a}_back = Or ({a}_turned, down)
   {a}_rounded = Where ({a}_back, {a}_backward, {a}_forward)
   {a}_tap = Where (to_even, {a}_even, {a}_rounded)
"""
    + _INDEX
)
_READ = """\
   index = Add (in_plane, bases4)
   rows = Flatten <axis = 3> (channels_last)
   read = Gather <axis = 0> (rows, index)
   pixels = Cast <to: int = @sum_type> (read)
"""
_CHOSEN = """\
   both_count = And (x_counts, y_counts)
   counts = And (both_count, inside)
   {condition}
   nothing = Cast <to: int = @sum_type> (zero)
   kept = Where (condition, pixels, nothing)
   {single}
   samples = Cast <to: int = @image_type> (total)
   output = Transpose <perm: ints = @from_rows> (samples)
"""

_STEPS = """\
   step_values = Constant <value = float[4,1,1,1] {{-1.0, 2.0, 0.0, 1.0}}> ()
   steps = Cast <to: int = @grid_type> (step_values)
   more_numbers = Constant <value = float[2] {{5.0, 8.0}}> ()
   m = Cast <to: int = @grid_type> (more_numbers)
   f4 = Add (f3, f1)
   f5 = Gather <axis = 0> (m, k0)
   f8 = Gather <axis = 0> (m, k1)

"""
# The pixels in the order -1, 2, 0, 1: first those at a distance beyond 1, then the others.
_CUBIC = (
    """\
   {a}_floor = Floor ({a})
   {a}_t = Sub ({a}, {a}_floor)
   {a}_rest = Sub (f1, {a}_t)
   {a}_left = Add ({a}_t, f1)
   {a}_right = Add ({a}_rest, f1)
   {a}_outer = Concat <axis = 0> ({a}_left, {a}_right)
   {a}_inner = Concat <axis = 0> ({a}_t, {a}_rest)
   {a}_outer1 = Sub ({a}_outer, f5)
   {a}_outer2 = Mul ({a}_outer1, {a}_outer)
   {a}_outer3 = Add ({a}_outer2, f8)
   {a}_outer4 = Mul ({a}_outer3, {a}_outer)
   {a}_outer5 = Sub ({a}_outer4, f4)
   {a}_outer6 = Mul (n0, {a}_outer5)
   {a}_inner1 = Mul (n1, {a}_inner)
   {a}_inner2 = Sub ({a}_inner1, n2)
   {a}_square = Mul ({a}_inner, {a}_inner)
   {a}_inner3 = Mul ({a}_inner2, {a}_square)
   {a}_inner4 = Add ({a}_inner3, f1)
   {a}_every = Concat <axis = 0> ({a}_outer6, {a}_inner4)
   {a}_tap = Add ({a}_floor, steps)
"""
    + _INDEX
    + """\
   {a}_one_or_none = Cast <to: int = @grid_type> ({a}_counts)
   {a}_w = Mul ({a}_every, {a}_one_or_none)
"""
)
_SUM = """\
   in_window = Cast <to: int = @grid_type> (inside)
   y_in_window = Mul (y_w, in_window)
   {rows_apart}
   products = Mul (x_w, y_apart)
   in_sum_type = Cast <to: int = @sum_type> (products)
   {weights}
   terms = Mul (pixels, weights)
   {columns}
   {sum}
   samples = Cast <to: int = @image_type> (total)
   output = Transpose <perm: ints = @from_rows> (samples)
"""
_PARAMETERS = {"cubic": -0.75, "cubic(-1/2)": -0.5}
_ROW = "   row = Cast <to = 7> (y_first)\n"
_ROWS_APART = "   row_of_all = Cast <to = 7> (y_first)\n   {row_apart}\n"


@cache
def nearest_function(opset: int, moves: bool = False, masks: bool = False) -> FunctionProto:
    """The body of NearestSample; `moves`: some node's border moves pixels by periods; the rest as `sample_function`."""
    return parsed(
        NEAREST,
        (CODES, _BORDER, _TIES, SHAPES, *_axes(_NEAREST, moves), PLANE_INDEX, _READ, IN_WINDOW, _CHOSEN),
        opset,
        masks,
        what="Nearest",
        attributes=(*ATTRIBUTES, "kernel"),
        border_table=_BORDERS,
        condition=over(opset, "condition = Unsqueeze", "counts", 4),
        single=over(opset, "total = Squeeze", "kept", 0),
        **_kernels(_ROUNDINGS),
    )


@cache
def cubic_function(opset: int, moves: bool = False, masks: bool = False) -> FunctionProto:
    """The body of CubicSample; see `nearest_function`."""
    index = PLANE_INDEX.replace(_ROW, _ROWS_APART)
    return parsed(
        CUBIC,
        (CODES, _BORDER, _STEPS, SHAPES, *_axes(_CUBIC, moves), index, _READ, IN_WINDOW, _SUM),
        opset,
        masks,
        what="Cubic",
        attributes=(*ATTRIBUTES, "kernel"),
        border_table=_BORDERS,
        row_apart=over(opset, "row = Unsqueeze", "row_of_all", 1),
        rows_apart=over(opset, "y_apart = Unsqueeze", "y_in_window", 1),
        weights=over(opset, "weights = Unsqueeze", "in_sum_type", 5),
        columns=over(opset, "columns = ReduceSum", "terms", 0, "keepdims = 0"),
        sum=over(opset, "total = ReduceSum", "columns", 0, "keepdims = 0"),
        **_kernels({name: (a, a + 2, a + 3, 0.0) for name, a in _PARAMETERS.items()}),
    )


def _axes(cell: str, moves: bool) -> list[str]:
    return [axis_text(cell, *axis, move=(_MOVE if moves else _AS_IT_IS).format(a=axis[0])) for axis in AXES]


def _kernels(numbers: Mapping[str, tuple[float, ...]]) -> dict[str, str]:
    """The table of four numbers a kernel, by its code; 0 for those of the other operators."""
    none = (0.0,) * 4
    table = [numbers.get(name, none) for name in KERNEL_CODES]
    return {
        "kernels": str(len(table)),
        "kernel_blank": listed([0.0] * len(table)),
        "kernel_table": listed(value for row in table for value in row),
    }
