"""Five ways of TensorFlow code, exported by tf2onnx: `python -m tests.campaigns.field.forms.of_tensorflow OUTDIR`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx

Value = Any
"""A tensor of TensorFlow, whose package ships no types."""


def warp_on_a_margin(image: Value, flow: Value) -> Value:
    """A margin of zeros, floors kept in it, fractions kept in 0 to 1: [B, H, W, C] and [B, H, W, 2], rows first."""
    wide = tf.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]])
    size = tf.shape(wide)
    batch, height, width, channels = size[0], size[1], size[2], size[3]
    xs, ys = tf.meshgrid(tf.range(width - 2), tf.range(height - 2))
    grid = tf.cast(tf.stack([ys, xs], 2), flow.dtype)[None] - flow + 1.0
    low, part = [], []
    for k, last in ((0, height), (1, width)):
        p = grid[..., k]
        start = tf.minimum(tf.maximum(0.0, tf.floor(p)), tf.cast(last - 2, p.dtype))
        low.append(tf.cast(start, tf.int32))
        part.append(tf.minimum(tf.maximum(p - start, 0.0), 1.0)[..., None])
    rows = tf.reshape(wide, [batch * height * width, channels])
    base = tf.reshape(tf.range(batch) * height * width, [batch, 1, 1])

    def at(y: Value, x: Value) -> Value:
        return tf.gather(rows, base + y * width + x)

    top = part[1] * (at(low[0], low[1] + 1) - at(low[0], low[1])) + at(low[0], low[1])
    bottom = part[1] * (at(low[0] + 1, low[1] + 1) - at(low[0] + 1, low[1])) + at(low[0] + 1, low[1])
    return part[0] * (bottom - top) + top


def warp_by_floors(image: Value, flow: Value) -> Value:
    """The grid is added to floors of the flow, kept inside, then all three are indices: [B, H, W, C], [B, H, W, 2]."""
    size = tf.shape(image)
    n, h, w = tf.meshgrid(tf.range(size[0]), tf.range(size[1]), tf.range(size[2]), indexing="ij")
    n, h, w = (tf.cast(i[..., None], tf.float32) for i in (n, h, w))
    row, column = tf.split(flow, 2, axis=-1)
    r0, c0 = tf.floor(row), tf.floor(column)
    last = [tf.cast(size[k] - 1, tf.float32) for k in (1, 2)]
    js = [tf.clip_by_value(h + r, 0.0, last[0]) for r in (r0, r0 + 1)]
    ks = [tf.clip_by_value(w + c, 0.0, last[1]) for c in (c0, c0 + 1)]
    taps = [tf.gather_nd(image, tf.cast(tf.concat([n, j, k], -1), tf.int32)) for j, k in product(js, ks)]
    weights = [a * b for a, b in product((1 - (row - r0), row - r0), (1 - (column - c0), column - c0))]
    return tf.add_n([weight * tap for weight, tap in zip(weights, taps, strict=True)])


def volume_at_points(volume: Value, points: Value) -> Value:
    """Eight corners in one table, clipped, gathered by item: [B, D, H, W, C] at [B, P, 3]."""
    size = tf.shape(volume)[1:4]
    corners = tf.constant(list(product((0.0, 1.0), repeat=3)))
    low = tf.floor(points)
    at = low[:, :, None] + corners
    part = (points - low)[:, :, None]
    weights = tf.reduce_prod(corners * part + (1 - corners) * (1 - part), -1, keepdims=True)
    index = tf.clip_by_value(tf.cast(at, tf.int32), 0, size - 1)
    return tf.reduce_sum(tf.gather_nd(volume, index, batch_dims=1) * weights, 2)


def resampled_where_valid(image: Value, where: Value) -> Value:
    """Each corner has a mask of its own: [B, H, W, C] at [B, h, w, 2] as x, y."""
    size = tf.shape(image)
    height, width = tf.cast(size[1], tf.float32), tf.cast(size[2], tf.float32)
    x, y = tf.unstack(where, axis=-1)
    x0, y0 = tf.floor(x), tf.floor(y)
    item = tf.tile(tf.reshape(tf.range(size[0]), [-1, 1, 1]), [1, tf.shape(where)[1], tf.shape(where)[2]])
    total = 0.0
    for i, j in product((x0, x0 + 1), (y0, y0 + 1)):
        valid = tf.cast((i >= 0.0) & (i <= width - 1) & (j >= 0.0) & (j <= height - 1), tf.float32)
        weight = (1.0 - tf.abs(x - i)) * (1.0 - tf.abs(y - j)) * valid
        column, row = tf.clip_by_value(i, 0.0, width - 1), tf.clip_by_value(j, 0.0, height - 1)
        index = tf.stack([item, tf.cast(row, tf.int32), tf.cast(column, tf.int32)], -1)
        total += weight[..., None] * tf.gather_nd(image, index)
    return total


def transformer_layer(image: Value, theta: Value) -> Value:
    """A spatial transformer whose clipped corners are its weights: [B, H, W, C] and [B, 6] -> [B, 5, 7, C]."""
    size = tf.shape(image)
    batch, height, width, channels = size[0], size[1], size[2], size[3]
    xs, ys = tf.meshgrid(tf.linspace(-1.0, 1.0, 7), tf.linspace(-1.0, 1.0, 5))
    grid = tf.stack([tf.reshape(xs, [-1]), tf.reshape(ys, [-1]), tf.ones([35])])
    p = tf.matmul(tf.reshape(theta, [-1, 2, 3]), tf.tile(grid[None], [batch, 1, 1]))
    x = 0.5 * (tf.reshape(p[:, 0], [-1]) + 1.0) * tf.cast(width, tf.float32)
    y = 0.5 * (tf.reshape(p[:, 1], [-1]) + 1.0) * tf.cast(height, tf.float32)
    x0, y0 = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    xs_ = [tf.clip_by_value(i, 0, width - 1) for i in (x0, x0 + 1)]
    ys_ = [tf.clip_by_value(j, 0, height - 1) for j in (y0, y0 + 1)]
    base = tf.reshape(tf.tile(tf.range(batch)[:, None] * height * width, [1, 35]), [-1])
    rows = tf.reshape(image, [-1, channels])
    (xa, xb), (ya, yb) = ([tf.cast(i, tf.float32) for i in both] for both in (xs_, ys_))
    taps = [tf.gather(rows, base + j * width + i) for i, j in product(xs_, ys_)]
    weights = [(xb - x) * (yb - y), (xb - x) * (y - ya), (x - xa) * (yb - y), (x - xa) * (y - ya)]
    out = tf.add_n([weight[:, None] * tap for weight, tap in zip(weights, taps, strict=True)])
    return tf.reshape(out, tf.stack([batch, 5, 7, channels]))


FORMS: dict[str, tuple[Callable[..., Value], tuple[tuple[int, ...], ...]]] = {
    "resampled_where_valid": (resampled_where_valid, ((2, 5, 6, 3), (2, 4, 7, 2))),
    "transformer_layer": (transformer_layer, ((2, 6, 8, 3), (2, 6))),
    "volume_at_points": (volume_at_points, ((2, 4, 5, 6, 3), (2, 9, 3))),
    "warp_by_floors": (warp_by_floors, ((2, 5, 6, 3), (2, 5, 6, 2))),
    "warp_on_a_margin": (warp_on_a_margin, ((2, 5, 6, 3), (2, 5, 6, 2))),
}
"""By name, the function and the shapes of its inputs."""


def export(folder: Path) -> None:
    """Write each with fixed sizes and, all but the channels, free ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (function, shapes) in FORMS.items():
        for way, opset, free in (("tf13.st", 13, False), ("tf17.dyn", 17, True)):
            given = [(None,) * (len(s) - 1) + s[-1:] if free else s for s in shapes]
            specs = [tf.TensorSpec(s, tf.float32, name=f"in{k}") for k, s in enumerate(given)]
            model, _ = tf2onnx.convert.from_function(
                tf.function(function, input_signature=specs), input_signature=specs, opset=opset
            )
            onnx.save(model, folder / f"{name}.{way}.onnx")


if __name__ == "__main__":
    export(Path(sys.argv[1]))
