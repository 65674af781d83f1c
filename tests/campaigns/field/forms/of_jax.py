"""Four ways of JAX code, exported by jax2onnx: `python -m tests.campaigns.field.forms.of_jax OUTDIR`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array
from jax2onnx import to_onnx


def mapped_over_items(images: Array, points: Array) -> Array:
    """One image's sampler, 0 outside, mapped over items: [B, H, W, C] at [B, P, 2]."""

    def one(image: Array, where: Array) -> Array:
        height, width, _ = image.shape
        low = jnp.floor(where)
        part = where - low
        total = jnp.zeros((where.shape[0], image.shape[2]))
        for dy, dx in product((0, 1), repeat=2):
            i, j = low[:, 0] + dx, low[:, 1] + dy
            weight = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            inside = (i >= 0) & (i < width) & (j >= 0) & (j < height)
            row, column = (jnp.clip(p, 0, n - 1).astype(int) for p, n in ((j, height), (i, width)))
            total = total + image[row, column] * jnp.where(inside, weight, 0.0)[:, None]
        return total

    return jax.vmap(one)(images, points)


def periodic_field(field: Array, points: Array) -> Array:
    """A field on a torus: [H, W] at [P, 2]."""
    height, width = field.shape
    low = jnp.floor(points).astype(jnp.int32)
    u, v = (points - low).T
    xa, xb, ya, yb = low[:, 0] % width, (low[:, 0] + 1) % width, low[:, 1] % height, (low[:, 1] + 1) % height
    upper = field[ya, xa] * (1 - u) + field[ya, xb] * u
    lower = field[yb, xa] * (1 - u) + field[yb, xb] * u
    return upper * (1 - v) + lower * v


def taken_rows(image: Array, x: Array, y: Array) -> Array:
    """A flat image, jnp.take that clips: [H, W, C] at two [h, w] in 0 to 1."""
    height, width, channels = image.shape
    px, py = jnp.clip(x, 0, 1) * (width - 1), jnp.clip(y, 0, 1) * (height - 1)
    x0, y0 = jnp.minimum(jnp.floor(px), width - 2), jnp.minimum(jnp.floor(py), height - 2)
    u, v = (px - x0)[..., None], (py - y0)[..., None]
    start = (y0 * width + x0).astype(jnp.int32)
    rows = image.reshape(-1, channels)
    a, b, c, d = (jnp.take(rows, start + step, axis=0, mode="clip") for step in (0, 1, width, width + 1))
    return (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v


def line_of_frames(frames: Array, times: Array) -> Array:
    """Between two frames of a clip: [T, C] at [S]."""
    last = frames.shape[0] - 1
    t = jnp.clip(times, 0, last)
    low = jnp.floor(t).astype(jnp.int32)
    part = (t - low)[:, None]
    high = jnp.minimum(low + 1, last)
    return (
        jnp.take_along_axis(frames, low[:, None], 0) * (1 - part) + jnp.take_along_axis(frames, high[:, None], 0) * part
    )


FORMS: dict[str, tuple[Callable[..., Array], tuple[tuple[int | str, ...], ...]]] = {
    "line_of_frames": (line_of_frames, ((8, 3), ("S",))),
    "mapped_over_items": (mapped_over_items, (("B", 6, 7, 3), ("B", 5, 2))),
    "periodic_field": (periodic_field, ((6, 7), ("P", 2))),
    "taken_rows": (taken_rows, ((6, 7, 3), ("h", "w"), ("h", "w"))),
}
"""By name, the function and the shapes of its inputs."""
SIZES = {"B": 2, "S": 9, "P": 11, "h": 4, "w": 5}


def export(folder: Path) -> list[str]:
    """Write each with fixed sizes, and with free ones along the axes of the points; what was refused."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, (function, shapes) in FORMS.items():
        fixed = [tuple(SIZES[n] if isinstance(n, str) else n for n in shape) for shape in shapes]
        for way, given in (("jax.st", fixed), ("jax.dyn", list(shapes))):
            path = folder / f"{name}.{way}.onnx"
            try:
                to_onnx(function, given, model_name=name, return_mode="file", output_path=str(path))
            except Exception as reason:
                failed.append(f"{path.name}: {str(reason).splitlines()[0][:90]}")
    return failed


if __name__ == "__main__":
    for line in export(Path(sys.argv[1])):
        sys.stdout.write(f"not exported: {line}\n")
