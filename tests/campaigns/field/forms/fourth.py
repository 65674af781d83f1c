"""Twenty-eight more ways of public code: fixed point, oscillators and delay lines, light, lenses, video, volumes.

Some are near a sampler and none: they have to be left, with a reason that is true. `FORMS` is as in `third`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.campaigns.field.forms.parts import Form, floored, mix
from tests.campaigns.field.forms.second import Axes


def _bilinear(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[C, H, W] at pixels of any shape, the nearest pixel outside."""
    height, width = image.shape[-2:]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    (x0, u), (y0, v) = floored(x), floored(y)
    left, top = x0.long(), y0.long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    return mix(image[:, top, left], image[:, top, right], image[:, bottom, left], image[:, bottom, right], u, v)


# Fixed point


def remap_by_shifts(image: Tensor, points: Tensor) -> Tensor:
    """Points as whole 256ths of a pixel, split by a shift and a mask, 0 outside: [H, W] at [N, 2]."""
    height, width = image.shape
    x, y = points.unbind(-1)
    x0, y0 = x >> 8, y >> 8
    u, v = (x & 255) * (1.0 / 256), (y & 255) * (1.0 / 256)
    total = torch.zeros(())
    for i, j, weight in (
        (x0, y0, (1 - u) * (1 - v)),
        (x0 + 1, y0, u * (1 - v)),
        (x0, y0 + 1, (1 - u) * v),
        (x0 + 1, y0 + 1, u * v),
    ):
        seen = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        total = total + image[j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] * weight * seen
    return total


def whole_and_part(image: Tensor, whole: Tensor, part: Tensor) -> Tensor:
    """Pixels and 32nds of one in tensors of their own: [C, H, W] at [h, w, 2] and [h, w] as 32*y + x."""
    height, width = image.shape[1:]
    x0, y0 = whole.long().unbind(-1)
    u, v = (part & 31).float() / 32, torch.div(part, 32, rounding_mode="floor").float() / 32
    xs = [i.clamp(0, width - 1) for i in (x0, x0 + 1)]
    ys = [j.clamp(0, height - 1) for j in (y0, y0 + 1)]
    return mix(*(image[:, j, i] for j in ys for i in xs), u, v)


def phase_accumulator(table: Tensor, phases: Tensor) -> Tensor:
    """An oscillator's table of 16 at phases that count 4,096ths of a period: [16] at [T]."""
    index, part = torch.div(phases, 256, rounding_mode="floor"), torch.remainder(phases, 256).float() / 256
    low, high = torch.remainder(index, 16).long(), torch.remainder(index + 1, 16).long()
    return torch.lerp(table[low], table[high], part)


def resized_in_1024ths(image: Tensor, steps: Tensor) -> Tensor:
    """A row at places of whole 1,024ths that go on by data: [C, W] at as many as `steps`."""
    width = image.shape[1]
    place = torch.cumsum(steps, 0)
    low = torch.div(place, 1024, rounding_mode="floor")
    part = (place - low * 1024).float() / 1024
    return image[:, low.clamp(0, width - 1)] * (1 - part) + image[:, (low + 1).clamp(0, width - 1)] * part


# Sound


def guarded_table(table: Tensor, phases: Tensor) -> Tensor:
    """The first sample stands behind the last one again: [L] at phases [T] in periods."""
    size = table.shape[0]
    wide = torch.cat([table, table[:1]])
    place = (phases - torch.floor(phases)) * size
    low = place.long().clamp(max=size - 1)
    part = place - low
    return wide[low] + (wide[low + 1] - wide[low]) * part


def speed_change(signal: Tensor, speed: Tensor) -> Tensor:
    """A signal read at every so many samples: [B, T] at a speed [B] -> as many."""
    steps = signal.shape[1]
    place = torch.arange(steps).float()[None] * speed[:, None]
    low = torch.floor(place)
    part = place - low
    a, b = (torch.gather(signal, 1, i.clamp(0, steps - 1).long()) for i in (low, low + 1))
    return a + part * (b - a)


def chorus_line(buffer: Tensor, delays: Tensor) -> Tensor:
    """A ring buffer read so long before each of its places: [B, L] and [B, L]."""
    size = buffer.shape[1]
    place = torch.arange(size)[None] - delays
    low = torch.floor(place)
    part = place - low
    first = torch.remainder(low.long(), size)
    second = torch.remainder(first + 1, size)
    return buffer.gather(1, first) * (1 - part) + buffer.gather(1, second) * part


def fractional_shift(features: Tensor, shifts: Tensor) -> Tensor:
    """Each channel moves along time by its own part of a step, 0 outside: [B, T, C] and [C]."""
    batch, steps, _ = features.shape
    place = torch.arange(steps).float()[:, None] + shifts[None]
    low = torch.floor(place)
    part, total = place - low, torch.zeros(())
    for at, weight in ((low, 1 - part), (low + 1, part)):
        seen = (at >= 0) & (at <= steps - 1)
        index = at.clamp(0, steps - 1).long()[None].expand(batch, -1, -1)
        total = total + torch.gather(features, 1, index) * (weight * seen)
    return total


# Tables


def ceil_lookup(table: Tensor, values: Tensor) -> Tensor:
    """Between the entry below and the one above, the same where a value is whole: [L, C] at [N]."""
    place = values.clamp(0, 1) * (table.shape[0] - 1)
    low, high = torch.floor(place), torch.ceil(place)
    part = (place - low)[:, None]
    return table[low.long()] * (1 - part) + table[high.long()] * part


def product_of_lines(lines: Tensor, points: Tensor) -> Tensor:
    """Three lines of features, at x, y and z, multiplied: [3, C, L] at [N, 3] in -1 to 1."""
    last, out = lines.shape[2] - 1, torch.ones(())
    for axis in range(3):
        place = ((points[:, axis] + 1) / 2 * last).clamp(0, last)
        low = place.long().clamp(max=last - 1)
        line = lines[axis]
        out = out * torch.lerp(line[:, low], line[:, low + 1], place - low)
    return out


def light_field(table: Tensor, rays: Tensor) -> Tensor:
    """Sixteen corners in four dimensions, which no sampler here has: [U, V, S, T] at [N, 4] in 0 to 1."""
    last = torch.tensor(table.shape) - 1
    place = rays.clamp(0, 1) * last
    low = torch.minimum(torch.floor(place), last - 1.0)
    part, total = place - low, torch.zeros(())
    for corner in product((0, 1), repeat=4):
        i, j, k, n = (low.long() + torch.tensor(corner)).unbind(-1)
        weight = torch.where(torch.tensor(corner) == 1, part, 1 - part).prod(-1)
        total = total + table[i, j, k, n] * weight
    return total


def free_form_lattice(lattice: Tensor, points: Tensor) -> Tensor:
    """Motions of a lattice by a cubic B-spline along a line, which is none of the cubics here: [C, L] at [N]."""
    low = torch.floor(points)
    t, last, total = points - low, lattice.shape[1] - 1, torch.zeros(())
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for k, weight in enumerate(weights):
        total = total + lattice[:, (low + (k - 1)).clamp(0, last).long()] * weight / 6
    return total


# Light


def environment_light(image: Tensor, directions: Tensor) -> Tensor:
    """A panorama of light in the directions of rays: [H, W, C] at [N, 3]."""
    height, width, _ = image.shape
    d = F.normalize(directions, dim=-1)
    across = torch.atan2(d[:, 1], d[:, 0]) / (2 * math.pi)
    x = (across - torch.floor(across)) * (width - 1)
    y = torch.acos(d[:, 2].clamp(-1, 1)) / math.pi * (height - 1)
    x0, y0 = torch.floor(x).long().clamp(0, width - 1), torch.floor(y).long().clamp(0, height - 1)
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    u, v = (x - torch.floor(x))[:, None], (y - torch.floor(y))[:, None]
    return mix(image[y0, x0], image[y0, x1], image[y1, x0], image[y1, x1], u, v)


def octahedral_probe(probe: Tensor, directions: Tensor) -> Tensor:
    """A probe whose square is an octahedron folded open: [C, H, W] at [N, 3]."""
    d = directions / directions.abs().sum(-1, keepdim=True)
    folded = (1 - d[:, [1, 0]].abs()) * torch.where(d[:, :2] >= 0, 1.0, -1.0)
    at = torch.where(d[:, 2:] < 0, folded, d[:, :2])
    size = probe.shape[-1]
    x, y = ((at + 1) * 0.5 * size - 0.5).unbind(-1)
    return _bilinear(probe, x, y)


def anisotropic_probes(texture: Tensor, places: Tensor, along: Tensor) -> Tensor:
    """Three samples of a repeated texture along the longer side of a pixel's footprint: [C, H, W], two [N, 2]."""
    height, width = texture.shape[1:]
    out = torch.zeros(())
    for step in (-1, 0, 1):
        x, y = ((places + step * along) * torch.tensor([width, height]) - 0.5).unbind(-1)
        (x0, u), (y0, v) = floored(x), floored(y)
        xs = [torch.remainder(x0.long() + k, width) for k in (0, 1)]
        ys = [torch.remainder(y0.long() + k, height) for k in (0, 1)]
        out = out + mix(*(texture[:, j, i] for j in ys for i in xs), u, v)
    return out / 3


def shading_gains(image: Tensor, gains: Tensor) -> Tensor:
    """A coarse mesh of gains at every pixel of a lens's image, corner to corner: [C, H, W] and [C, h, w]."""
    height, width = image.shape[1:]
    rows, columns = gains.shape[1:]
    y = torch.arange(height) * ((rows - 1) / (height - 1))
    x = torch.arange(width) * ((columns - 1) / (width - 1))
    y0, x0 = y.long().clamp(max=rows - 2), x.long().clamp(max=columns - 2)
    v, u = (y - y0)[:, None], (x - x0)[None]
    j, i = y0[:, None], x0[None]
    upper = gains[:, j, i] * (1 - u) + gains[:, j, i + 1] * u
    lower = gains[:, j + 1, i] * (1 - u) + gains[:, j + 1, i + 1] * u
    return image * (upper * (1 - v) + lower * v)


# Video


def stabilised_mesh(frame: Tensor, mesh: Tensor) -> Tensor:
    """A mesh of motions made as large as a frame, which is warped by it: [C, H, W] and [2, h, w]."""
    height, width = frame.shape[1:]
    motion = F.interpolate(mesh[None], size=(height, width), mode="bilinear", align_corners=True)[0]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return _bilinear(frame, x + motion[0], y + motion[1])


def rolling_shutter(image: Tensor, shifts: Tensor) -> Tensor:
    """Each row moves by a part of a pixel of its own: [C, H, W] and [H]."""
    channels, _, width = image.shape
    x = torch.arange(width).float()[None] + shifts[:, None]
    low = torch.floor(x)
    part = x - low
    a, b = (torch.gather(image, 2, i.clamp(0, width - 1).long()[None].expand(channels, -1, -1)) for i in (low, low + 1))
    return a * (1 - part) + b * part


def motion_blur(image: Tensor, flow: Tensor) -> Tensor:
    """The mean of two samples along a flow: [C, H, W] and [2, H, W]."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([_bilinear(image, x + t * flow[0], y + t * flow[1]) for t in (-0.5, 0.5)]).mean(0)


def squared_field(velocity: Tensor) -> Tensor:
    """A field composed with itself twice, as of a diffeomorphic registration: [2, H, W] as x, y."""
    height, width = velocity.shape[1:]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    field = velocity / 4
    for _ in range(2):
        field = field + _bilinear(field, x + field[0], y + field[1])
    return field


def reflected_margin(image: Tensor, flow: Tensor) -> Tensor:
    """A frame with a mirrored margin of two pixels, in which points are clamped: [1, C, H, W] and [2, H, W]."""
    height, width = image.shape[2:]
    wide = F.pad(image, (2, 2, 2, 2), mode="reflect")[0]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return _bilinear(wide, x + flow[0] + 2, y + flow[1] + 2)


def refocused_views(views: Tensor, slope: Tensor) -> Tensor:
    """Four views of a light field, each moved by its place times a slope, and averaged: [4, C, H, W] and [1]."""
    height, width = views.shape[2:]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    places = ((-1, -1), (-1, 1), (1, -1), (1, 1))
    moved = [_bilinear(view, x + slope * i, y + slope * j) for view, (i, j) in zip(views, places, strict=False)]
    return torch.stack(moved).mean(0)


def splatted_flow(image: Tensor, flow: Tensor) -> Tensor:
    """Pixels are put where a flow takes them, which reads nothing at computed places: [C, H, W] and [2, H, W]."""
    channels, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    (x0, u), (y0, v) = floored(x + flow[0]), floored(y + flow[1])
    out = torch.zeros(channels, height * width)
    for i, j, weight in ((x0, y0, (1 - u) * (1 - v)), (x0 + 1, y0, u * (1 - v)), (x0, y0 + 1, (1 - u) * v)):
        seen = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        index = (j.clamp(0, height - 1) * width + i.clamp(0, width - 1)).long().reshape(1, -1)
        out = out.scatter_add(1, index.expand(channels, -1), (image * weight * seen).reshape(channels, -1))
    return out.reshape(channels, height, width)


# Volumes, stereo, radar


def grouped_costs(left: Tensor, right: Tensor, disparities: Tensor) -> Tensor:
    """Two groups of channels matched at disparities of each pixel: [2G, H, W] twice, [D, H, W] -> [2, D, H, W]."""
    channels, height, width = right.shape
    count = disparities.shape[0]
    x = torch.arange(width).float() - disparities
    low = torch.floor(x)
    part, wide = x - low, right[:, None].expand(-1, count, -1, -1)
    moved = torch.zeros(())
    for at, weight in ((low, 1 - part), (low + 1, part)):
        seen = ((at >= 0) & (at < width)).to(part.dtype)
        index = at.clamp(0, width - 1).long()[None].expand(channels, -1, -1, -1)
        moved = moved + torch.gather(wide, 3, index) * (weight * seen)
    costs = left[:, None] * moved
    return costs.reshape(2, channels // 2, count, height, width).mean(1)


def radar_scan(scan: Tensor, points: Tensor) -> Tensor:
    """A scan by angle and range at points of the plane: [A, R] at [N, 2]."""
    angles, ranges = scan.shape
    angle = torch.atan2(points[:, 1], points[:, 0]) / (2 * math.pi) * angles
    distance = points.norm(dim=-1).clamp(0, ranges - 1)
    low, near = torch.floor(angle), torch.floor(distance)
    v, u = angle - low, distance - near
    j = [torch.remainder(low.long() + k, angles) for k in (0, 1)]
    i = [near.long(), (near.long() + 1).clamp(max=ranges - 1)]
    return mix(scan[j[0], i[0]], scan[j[0], i[1]], scan[j[1], i[0]], scan[j[1], i[1]], u, v)


def label_volume(labels: Tensor, points: Tensor) -> Tensor:
    """The nearest of a volume's numbers, -1 outside: [D, H, W] at [N, 3] as z, y, x."""
    depth, height, width = labels.shape
    z, y, x = torch.round(points).long().unbind(-1)
    seen = (z >= 0) & (z < depth) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    values = labels[z.clamp(0, depth - 1), y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return torch.where(seen, values, torch.full((), -1.0))


def occupied_cells(grid: Tensor, points: Tensor) -> Tensor:
    """The cell of each point in a box from -1 to 1, 0 outside: [X, Y, Z] at [N, 3]."""
    size = torch.tensor(grid.shape)
    at = torch.floor((points + 1) / 2 * size).long()
    seen = ((at >= 0) & (at < size)).all(-1)
    i, j, k = (at[:, axis].clamp(0, grid.shape[axis] - 1) for axis in range(3))
    return grid[i, j, k] * seen


def joint_upsampling(coarse: Tensor, guides: Tensor, places: Tensor, guide: Tensor) -> Tensor:
    """Four corners weighed by how alike they are, too, over their sum: two [h, w], [N, 2] and [N]."""
    height, width = coarse.shape
    x, y = places[:, 0].clamp(0, width - 1), places[:, 1].clamp(0, height - 1)
    (x0, u), (y0, v) = floored(x), floored(y)
    total, weights = torch.zeros(()), torch.zeros(())
    for a, b in product((0, 1), repeat=2):
        near = (u if a else 1 - u) * (v if b else 1 - v)
        index = (y0 + b).clamp(0, height - 1).long(), (x0 + a).clamp(0, width - 1).long()
        weight = near * torch.exp(-((guides[index] - guide) ** 2))
        total, weights = total + coarse[index] * weight, weights + weight
    return total / (weights + 1e-6)


_IMAGE: Axes = {1: "H", 2: "W"}
_POINTS: Axes = {0: "N"}
n, r = torch.randn, torch.rand


def _whole(*shape: int, low: int = -300, high: int = 2000) -> Tensor:
    return torch.randint(low, high, shape, dtype=torch.int32)


FORMS: dict[str, tuple[Form, Callable[[], tuple[Tensor, ...]], tuple[Axes, ...]]] = {
    "anisotropic_probes": (
        anisotropic_probes,
        lambda: (n(3, 5, 7), n(9, 2), 0.1 * n(9, 2)),
        (_IMAGE, _POINTS, _POINTS),
    ),
    "ceil_lookup": (ceil_lookup, lambda: (n(17, 3), r(9) * 1.2 - 0.1), ({0: "L"}, _POINTS)),
    "chorus_line": (chorus_line, lambda: (n(2, 12), r(2, 12) * 9), ({0: "B", 1: "L"}, {0: "B", 1: "L"})),
    "environment_light": (environment_light, lambda: (n(6, 9, 3), n(8, 3)), ({0: "H", 1: "W"}, _POINTS)),
    "fractional_shift": (fractional_shift, lambda: (n(2, 8, 5), n(5) * 2), ({0: "B", 1: "T", 2: "C"}, {0: "C"})),
    "free_form_lattice": (free_form_lattice, lambda: (n(2, 9), r(7) * 9), ({1: "L"}, _POINTS)),
    "grouped_costs": (
        grouped_costs,
        lambda: (n(4, 5, 7), n(4, 5, 7), r(3, 5, 7) * 5),
        (_IMAGE, _IMAGE, {0: "D", 1: "H", 2: "W"}),
    ),
    "guarded_table": (guarded_table, lambda: (n(12), n(9) * 3), ({0: "L"}, {0: "T"})),
    "joint_upsampling": (
        joint_upsampling,
        lambda: (n(5, 7), n(5, 7), r(9, 2) * 6, n(9)),
        ({0: "h", 1: "w"}, {0: "h", 1: "w"}, _POINTS, _POINTS),
    ),
    "label_volume": (label_volume, lambda: (n(4, 5, 6), r(9, 3) * 6 - 1), ({0: "D", 1: "H", 2: "W"}, _POINTS)),
    "light_field": (light_field, lambda: (n(3, 4, 5, 6), r(9, 4)), ({}, _POINTS)),
    "motion_blur": (motion_blur, lambda: (n(3, 5, 7), n(2, 5, 7) * 2), (_IMAGE, _IMAGE)),
    "occupied_cells": (occupied_cells, lambda: (n(4, 5, 6), n(9, 3)), ({0: "X", 1: "Y", 2: "Z"}, _POINTS)),
    "octahedral_probe": (octahedral_probe, lambda: (n(3, 8, 8), n(9, 3)), ({1: "S", 2: "S"}, _POINTS)),
    "phase_accumulator": (phase_accumulator, lambda: (n(16), _whole(9, low=0, high=9000)), ({}, {0: "T"})),
    "product_of_lines": (product_of_lines, lambda: (n(3, 4, 9), n(8, 3)), ({2: "L"}, _POINTS)),
    "radar_scan": (radar_scan, lambda: (n(12, 9), n(8, 2) * 4), ({0: "A", 1: "R"}, _POINTS)),
    "reflected_margin": (reflected_margin, lambda: (n(1, 3, 5, 7), n(2, 5, 7) * 3), ({2: "H", 3: "W"}, _IMAGE)),
    "refocused_views": (refocused_views, lambda: (n(4, 3, 5, 7), r(1)), ({2: "H", 3: "W"}, {})),
    "remap_by_shifts": (remap_by_shifts, lambda: (n(6, 7), _whole(9, 2)), ({0: "H", 1: "W"}, _POINTS)),
    "resized_in_1024ths": (resized_in_1024ths, lambda: (n(3, 9), _whole(8, low=0, high=2000)), ({1: "W"}, {0: "S"})),
    "rolling_shutter": (rolling_shutter, lambda: (n(3, 5, 7), n(5) * 2), (_IMAGE, {0: "H"})),
    "shading_gains": (shading_gains, lambda: (n(3, 9, 13), n(3, 4, 5)), (_IMAGE, {})),
    "speed_change": (speed_change, lambda: (n(2, 12), r(2) * 2), ({0: "B", 1: "T"}, {0: "B"})),
    "splatted_flow": (splatted_flow, lambda: (n(3, 5, 7), n(2, 5, 7) * 2), (_IMAGE, _IMAGE)),
    "squared_field": (squared_field, lambda: (n(2, 5, 7) * 3,), (_IMAGE,)),
    "stabilised_mesh": (stabilised_mesh, lambda: (n(3, 6, 8), n(2, 3, 4)), (_IMAGE, {})),
    "whole_and_part": (
        whole_and_part,
        lambda: (n(3, 6, 7), _whole(4, 5, 2, low=-1, high=6), _whole(4, 5, low=0, high=1023)),
        (_IMAGE, {0: "h", 1: "w"}, {0: "h", 1: "w"}),
    ),
}
"""By name, the function, its inputs, and their free axes."""
