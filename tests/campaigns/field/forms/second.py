"""Thirty-three more ways of public code: renderers, stereo, audio, colour tables, panoramas; each written anew.

`FORMS` has the names of the axes that are free in an export with dynamic sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.campaigns.field.forms.parts import Form, floored, mix

Axes = dict[int, str]
"""The names of an input's free axes."""


def _border(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[C, H, W] at points of any shape, indices clamped."""
    height, width = image.shape[-2:]
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, xb = (i.clamp(0, width - 1).long() for i in (x0, x0 + 1))
    ya, yb = (i.clamp(0, height - 1).long() for i in (y0, y0 + 1))
    return mix(image[..., ya, xa], image[..., ya, xb], image[..., yb, xa], image[..., yb, xb], u, v)


def _zeros(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[C, H, W] at points of any shape, 0 outside."""
    height, width = image.shape[-2:]
    (x0, u), (y0, v) = floored(x), floored(y)

    def tap(i: Tensor, j: Tensor) -> Tensor:
        inside = ((i >= 0) & (i < width) & (j >= 0) & (j < height)).to(image.dtype)
        return image[..., j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] * inside

    return mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u, v)


def triplane(planes: Tensor, points: Tensor) -> Tensor:
    """Three planes of features at a point's three projections, summed: [3, C, H, W] at [P, 3] in -1 to 1."""
    height, width = planes.shape[2:]
    total = torch.zeros(())
    for plane, (i, j) in zip(planes.unbind(), ((0, 1), (0, 2), (1, 2)), strict=True):
        total = total + _zeros(plane, (points[:, i] + 1) * 0.5 * (width - 1), (points[:, j] + 1) * 0.5 * (height - 1))
    return total


def dense_grid(table: Tensor, points: Tensor) -> Tensor:
    """A dense grid of 5x5x5 features, eight corners in a loop: [125, F] at [P, 3] in 0 to 1."""
    p = points.clamp(0, 1) * 4
    low = p.floor().long().clamp(max=3)
    part = p - low
    total = torch.zeros(())
    for corner in product((0, 1), repeat=3):
        step = torch.tensor(corner)
        at = low + step
        weight = torch.where(step.bool(), part, 1 - part).prod(-1, keepdim=True)
        total = total + table[at[:, 0] + at[:, 1] * 5 + at[:, 2] * 25] * weight
    return total


def hash_grid(table: Tensor, points: Tensor) -> Tensor:
    """Corners' hashes are looked up, which is no sampler: [64, F] at [P, 3] in 0 to 1."""
    p = points.clamp(0, 1) * 4
    low = p.floor().long()
    part = p - low
    total = torch.zeros(())
    for corner in product((0, 1), repeat=2):
        step = torch.tensor((*corner, 0))
        at = low + step
        weight = torch.where(step.bool(), part, 1 - part).prod(-1, keepdim=True)
        total = total + table[(at[:, 0] + at[:, 1] * 2654435761) % 64] * weight
    return total


def undistorted(image: Tensor, distances: Tensor, points: Tensor) -> Tensor:
    """A table of coordinates is sampled, then the image there: [C, H, W], [h, w, 2], [P, 2]."""
    where = _border(distances.permute(2, 0, 1), points[:, 0], points[:, 1])
    return _border(image, where[0], where[1])


def colour_table(table: Tensor, image: Tensor) -> Tensor:
    """A three-dimensional colour table by lerps: [3, D, D, D], [N, 3, H, W] in 0 to 1."""
    last = table.shape[-1] - 1
    p = image.clamp(0, 1) * last
    low = p.floor().clamp(max=last - 1)
    wr, wg, wb = ((p - low)[:, k, None] for k in range(3))
    (r0, g0, b0), (r1, g1, b1) = low.long().unbind(1), (low.long() + 1).unbind(1)

    def row(b: Tensor, g: Tensor) -> Tensor:
        left, right = (table[:, b, g, r].permute(1, 0, 2, 3) for r in (r0, r1))
        return torch.lerp(left, right, wr)

    return torch.lerp(torch.lerp(row(b0, g0), row(b0, g1), wg), torch.lerp(row(b1, g0), row(b1, g1), wg), wb)


def correlation_pyramid(correlation: Tensor, centres: Tensor) -> Tensor:
    """Windows of 3x3 in two levels, 0 outside: [N, 1, H, W] at [N, 2]."""
    count, out = correlation.shape[0], []
    steps = torch.linspace(-1, 1, 3)
    delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    for level in range(2):
        height, width = correlation.shape[-2:]
        points = centres.reshape(count, 1, 1, 2) / 2**level + delta
        (x0, u), (y0, v) = floored(points[..., 0]), floored(points[..., 1])
        flat = correlation.view(count, -1)

        def tap(x: Tensor, y: Tensor, flat: Tensor = flat, height: int = height, width: int = width) -> Tensor:
            inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).float()
            index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long().view(count, 9)
            return torch.take_along_dim(flat, index, 1).view(count, 3, 3) * inside

        taps = tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1)
        out.append(mix(*taps, u, v).view(count, 9))
        correlation = F.avg_pool2d(correlation, 2, 2)
    return torch.cat(out, -1)


def stereo_shift(right: Tensor, disparity: Tensor) -> Tensor:
    """Rows moved by a disparity, 0 outside: [B, C, H, W] and [B, 1, H, W]."""
    batch, channels, height, width = right.shape
    x0, u = floored(torch.arange(width).view(1, 1, 1, width) - disparity)

    def tap(i: Tensor) -> Tensor:
        index = i.clamp(0, width - 1).long().expand(batch, channels, height, width)
        return right.gather(3, index) * ((i >= 0) & (i <= width - 1)).float()

    return tap(x0) * (1 - u) + tap(x0 + 1) * u


def shift_volume(left: Tensor, right: Tensor) -> Tensor:
    """Products at whole shifts, which is no sampler: two [B, C, H, W]."""
    width = left.shape[-1]
    return torch.stack([(left * F.pad(right, (d, 0, 0, 0))[..., :width]).mean(1) for d in range(3)], 1)


def point_features(features: Tensor, points: Tensor) -> Tensor:
    """Points in 0 to 1 on an image with a margin, clamps by Where: [N, C, H, W] at [N, P, 2]."""
    count, channels, height, width = features.shape
    grid = 2 * points - 1
    x, y = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    x0, y0 = torch.floor(x), torch.floor(y)
    x1, y1 = x0 + 1, y0 + 1
    weights = (x1 - x) * (y1 - y), (x1 - x) * (y - y0), (x - x0) * (y1 - y), (x - x0) * (y - y0)
    flat = F.pad(features, (1, 1, 1, 1)).view(count, channels, -1)

    def kept(p: Tensor, size: int) -> Tensor:
        p = torch.where(p + 1 < 0, torch.zeros(()), p + 1)
        return torch.where(p > size + 1, torch.tensor(size + 1.0), p)

    total = torch.zeros(())
    for (x_, y_), weight in zip(product((x0, x1), (y0, y1)), weights, strict=True):
        index = (kept(x_, width) + kept(y_, height) * (width + 2)).long()[:, None].expand(-1, channels, -1)
        total = total + flat.gather(2, index) * weight[:, None]
    return total


def affine_transformer(image: Tensor, theta: Tensor) -> Tensor:
    """The first spatial transformer, whose clamped corners are its weights: [B, C, H, W] and [B, 2, 3]."""
    batch, channels, height, width = image.shape
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    where = torch.matmul(theta, torch.stack([xs, ys, torch.ones_like(xs)]).view(3, -1))
    x, y = (where[:, 0] + 1) * (width / 2.0), (where[:, 1] + 1) * (height / 2.0)
    x0, y0 = torch.floor(x).int(), torch.floor(y).int()
    xs_ = x0.clamp(0, width - 1), (x0 + 1).clamp(0, width - 1)
    ys_ = y0.clamp(0, height - 1), (y0 + 1).clamp(0, height - 1)
    base = (torch.arange(batch) * height * width).view(batch, 1)
    rows = image.permute(0, 2, 3, 1).reshape(-1, channels)
    a, b, c, d = (rows[(base + j * width + i).long()] for i, j in product(xs_, ys_))
    (xa, xb), (ya, yb) = (i.float() for i in xs_), (j.float() for j in ys_)
    weights = (xb - x) * (yb - y), (xb - x) * (y - ya), (x - xa) * (yb - y), (x - xa) * (y - ya)
    out = sum(w[..., None] * value for w, value in zip(weights, (a, b, c, d), strict=True))
    assert isinstance(out, Tensor)
    return out.view(batch, height, width, channels).permute(0, 3, 1, 2)


def panorama_of_directions(image: Tensor, directions: Tensor) -> Tensor:
    """A panorama along directions, rows that end where they begin: [C, H, W] and [h, w, 3]."""
    height, width = image.shape[1:]
    longitude = torch.atan2(directions[..., 0], directions[..., 2])
    latitude = torch.asin(directions[..., 1].clamp(-1, 1))
    (x0, u), (y0, v) = (
        floored((longitude / (2 * torch.pi) + 0.5) * width - 0.5),
        floored((latitude / torch.pi + 0.5) * height - 0.5),
    )
    xa, xb = torch.remainder(x0, width).long(), torch.remainder(x0 + 1, width).long()
    ya, yb = y0.clamp(0, height - 1).long(), (y0 + 1).clamp(0, height - 1).long()
    return mix(image[:, ya, xa], image[:, ya, xb], image[:, yb, xa], image[:, yb, xb], u, v)


def panorama_with_margin(image: Tensor, points: Tensor) -> Tensor:
    """A column of each side is repeated at the other: [C, H, W] at [h, w, 2]."""
    height, width = image.shape[1:]
    wide = torch.cat([image[..., -1:], image, image[..., :1]], -1)
    x, y = torch.remainder(points[..., 0], width) + 1, points[..., 1].clamp(0, height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    y1 = (y0 + 1).clamp(max=height - 1)
    return mix(wide[:, y0, x0], wide[:, y0, x0 + 1], wide[:, y1, x0], wide[:, y1, x0 + 1], x - x0, y - y0)


def cube_map(faces: Tensor, face: Tensor, points: Tensor) -> Tensor:
    """Data choose the face, which no sampler's do: [6, C, H, W], [P] and [P, 2]."""
    height, width = faces.shape[2:]
    x, y = points[:, 0].clamp(0, width - 1), points[:, 1].clamp(0, height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    rows = faces.permute(0, 2, 3, 1)
    taps = rows[face, y0, x0], rows[face, y0, x1], rows[face, y1, x0], rows[face, y1, x1]
    return mix(*taps, (x - x0)[:, None], (y - y0)[:, None])


def attention_of_one_level(value: Tensor, places: Tensor, attention: Tensor) -> Tensor:
    """Deformable attention on 4x5 pixels: [B, 20, M, D], [B, Q, M, 1, K, 2] and [B, Q, M, 1, K]."""
    batch, _, heads, depth = value.shape
    queries, count, height, width = places.shape[1], places.shape[4], 4, 5
    flat = value.view(batch, height * width, heads, depth).permute(0, 2, 3, 1).reshape(batch * heads, depth, -1)
    grid = places[:, :, :, 0].permute(0, 2, 1, 3, 4).reshape(batch * heads, queries, count, 2)
    (x0, u), (y0, v) = floored(grid[..., 0] * width - 0.5), floored(grid[..., 1] * height - 0.5)

    def tap(i: Tensor, j: Tensor) -> Tensor:
        inside = ((i >= 0) & (i < width) & (j >= 0) & (j < height)).float()[:, None]
        index = (j.clamp(0, height - 1) * width + i.clamp(0, width - 1)).long()
        index = index.reshape(batch * heads, 1, -1).expand(-1, depth, -1)
        return flat.gather(2, index).view(batch * heads, depth, queries, count) * inside

    taps = tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1)
    weights = attention[:, :, :, 0].permute(0, 2, 1, 3).reshape(batch * heads, 1, queries, count)
    samples = mix(*taps, u[:, None], v[:, None])
    return (samples * weights).sum(-1).view(batch, heads * depth, queries).transpose(1, 2)


def time_warp(sequence: Tensor, times: Tensor) -> Tensor:
    """[B, T, C] at [B, S]."""
    _, steps, channels = sequence.shape
    t = times.clamp(0, steps - 1)
    low = t.floor().long()
    high = (low + 1).clamp(max=steps - 1)
    a, b = (torch.gather(sequence, 1, i[..., None].expand(-1, -1, channels)) for i in (low, high))
    return torch.lerp(a, b, (t - low)[..., None])


def delay_line(buffer: Tensor, positions: Tensor) -> Tensor:
    """A circular buffer: [B, T] at [B, S]."""
    steps = buffer.shape[1]
    low, part = floored(positions)
    a, b = (torch.gather(buffer, 1, i % steps) for i in (low.long(), low.long() + 1))
    return a * (1 - part) + b * part


def delay_line_wrapped_once(buffer: Tensor, positions: Tensor) -> Tensor:
    """Wrapped by conditions, once, and clamped: [B, T] at [B, S]."""
    steps = buffer.shape[1]
    low, part = floored(positions)
    i = low.long()
    i = torch.where(i < 0, i + steps, i)
    i = torch.where(i >= steps, i - steps, i)
    j = torch.where(i + 1 >= steps, i + 1 - steps, i + 1)
    return buffer.gather(1, i.clamp(0, steps - 1)) * (1 - part) + buffer.gather(1, j.clamp(0, steps - 1)) * part


def b_spline(image: Tensor, x: Tensor) -> Tensor:
    """Cubic weights that do not interpolate: [C, W] at [P]."""
    width = image.shape[1]
    low, t = floored(x)
    weights = (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6
    total = torch.zeros(())
    for k, weight in enumerate(weights):
        total = total + image[:, (low + k - 1).clamp(0, width - 1).long()] * weight
    return total


def catmull_rom(image: Tensor, x: Tensor) -> Tensor:
    """Catmull and Rom's spline in Horner's form: [C, W] at [P]."""
    width = image.shape[1]
    low, t = floored(x)
    a, b, c, d = (image[:, (low + k - 1).clamp(0, width - 1).long()] for k in range(4))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def mip_levels(fine: Tensor, coarse: Tensor, points: Tensor, level: Tensor) -> Tensor:
    """Between two levels: [C, H, W], [C, h, w], [P, 2] in 0 to 1, [P]."""

    def of(image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x, y = (points[:, 0] * width - 0.5).clamp(0, width - 1), (points[:, 1] * height - 0.5).clamp(0, height - 1)
        x0, y0 = x.floor().long(), y.floor().long()
        x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
        return mix(image[:, y0, x0], image[:, y0, x1], image[:, y1, x0], image[:, y1, x1], x - x0, y - y0)

    return torch.lerp(of(fine), of(coarse), level)


def rotated_roi_align(features: Tensor, boxes: Tensor) -> Tensor:
    """3x3 points of rotated boxes, border for one pixel and 0 beyond: [C, H, W] and [K, 5] -> [K, C, 3, 3]."""
    height, width = features.shape[1:]
    cx, cy, w, h = (boxes[:, k].view(-1, 1, 1) for k in range(4))
    cosine, sine = boxes[:, 4].cos()[:, None, None], boxes[:, 4].sin()[:, None, None]
    step = (torch.arange(3) + 0.5) / 3 - 0.5
    dy, dx = step.view(1, 3, 1) * h, step.view(1, 1, 3) * w
    x, y = dy * sine + dx * cosine + cx, dy * cosine - dx * sine + cy
    counts = ((y > -1) & (y < height) & (x > -1) & (x < width)).float()

    def corners(p: Tensor, last: int) -> tuple[Tensor, Tensor, Tensor]:
        p = p.clamp(min=0)
        low = p.long()
        end = low >= last
        low = torch.where(end, torch.tensor(last), low)
        return low, torch.where(end, torch.tensor(last), low + 1), torch.where(end, low.float(), p) - low

    (x0, x1, u), (y0, y1, v) = corners(x, width - 1), corners(y, height - 1)
    taps = features[:, y0, x0], features[:, y0, x1], features[:, y1, x0], features[:, y1, x1]
    return (mix(*taps, u, v) * counts).permute(1, 0, 2, 3)


def palette(colours: Tensor, values: Tensor) -> Tensor:
    """Values in 0 to 1 take colours of a table: [256, 3] at [N, H, W]."""
    p = values.clamp(0, 1) * 255
    low = p.floor().long()
    part = (p - low)[..., None]
    return colours[low] * (1 - part) + colours[(low + 1).clamp(max=255)] * part


def voxel_flow(before: Tensor, after: Tensor, flow: Tensor) -> Tensor:
    """Two frames at a flow and against it, blended: two [C, H, W] and [3, H, W]."""
    height, width = before.shape[1:]
    xs, ys = torch.arange(width).float()[None], torch.arange(height).float()[:, None]

    def of(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        (x0, u), (y0, v) = floored(x.clamp(0, width - 1.001)), floored(y.clamp(0, height - 1.001))
        x0, y0 = x0.long(), y0.long()
        return mix(image[:, y0, x0], image[:, y0, x0 + 1], image[:, y0 + 1, x0], image[:, y0 + 1, x0 + 1], u, v)

    past, future = of(before, xs - flow[0], ys - flow[1]), of(after, xs + flow[0], ys + flow[1])
    return past * (1 - flow[2]) + future * flow[2]


def perlin_noise(gradients: Tensor, points: Tensor) -> Tensor:
    """Hashed gradients times distances, eased, which is no sampler: [256, 2] at [P, 2]."""
    low, part = floored(points)
    i = low.long()
    eased = part * part * (3 - 2 * part)

    def corner(dx: int, dy: int) -> Tensor:
        gradient = gradients[((i[:, 0] + dx) * 37 + (i[:, 1] + dy) * 17) & 255]
        return gradient[:, 0] * (part[:, 0] - dx) + gradient[:, 1] * (part[:, 1] - dy)

    return mix(corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1), eased[:, 0], eased[:, 1])


def repeated_texture(texture: Tensor, points: Tensor) -> Tensor:
    """Remainders before the floor and behind it: [C, H, W] at [P, 2] in repetitions."""
    height, width = texture.shape[1:]
    x, y = torch.remainder(points[:, 0], 1.0) * width, torch.remainder(points[:, 1], 1.0) * height
    x0, y0 = x.floor().long(), y.floor().long()
    u, v = x - x0, y - y0
    x0, y0 = x0 % width, y0 % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    return mix(texture[:, y0, x0], texture[:, y0, x1], texture[:, y1, x0], texture[:, y1, x1], u, v)


def fraction_of_texture(texture: Tensor, points: Tensor) -> Tensor:
    """Points less their floor: [C, H, W] at [P, 2] in repetitions."""
    height, width = texture.shape[1:]
    part = points - torch.floor(points)
    x, y = part[:, 0] * (width - 1), part[:, 1] * (height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    return mix(texture[:, y0, x0], texture[:, y0, x1], texture[:, y1, x0], texture[:, y1, x1], x - x0, y - y0)


def position_bias(table: Tensor, places: Tensor) -> Tensor:
    """Biases of continuous relative places, weights clamped: [2H-1, 2W-1, heads] at [P, 2] in -1 to 1."""
    height, width, _ = table.shape
    image = table.permute(2, 0, 1)
    x, y = (places[..., 0] + 1) / 2 * (width - 1), (places[..., 1] + 1) / 2 * (height - 1)
    x0, y0 = torch.clamp(torch.floor(x), 0, width - 1), torch.clamp(torch.floor(y), 0, height - 1)
    x1, y1 = torch.clamp(x0 + 1, 0, width - 1), torch.clamp(y0 + 1, 0, height - 1)
    taps = (image[:, j.long(), i.long()] for j, i in product((y0, y1), (x0, x1)))
    return mix(*taps, torch.clamp(x - x0, 0, 1), torch.clamp(y - y0, 0, 1))


def rounded_features(features: Tensor, points: Tensor) -> Tensor:
    """The nearest pixel, 0 outside: [C, H, W] at [P, 2]."""
    height, width = features.shape[1:]
    x, y = torch.round(points).long().unbind(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    out = features[:, y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return torch.where(inside[None], out, torch.zeros(()))


def cut_off_features(features: Tensor, points: Tensor) -> Tensor:
    """Half a pixel is added and the rest cut off: [C, H, W] at [P, 2]."""
    height, width = features.shape[1:]
    x, y = (points + 0.5).to(torch.int32).unbind(1)
    return features[:, y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long()]


def log_polar_rings(image: Tensor, gain: Tensor) -> Tensor:
    """Rings around the middle, coordinates that are constants: [C, H, W] and [1]."""
    height, width = image.shape[1:]
    radius, angle = torch.exp(torch.linspace(0, 1.2, 5))[:, None], torch.linspace(0, 6.28, 9)[None]
    return _border(image, width / 2 + radius * torch.cos(angle), height / 2 + radius * torch.sin(angle)) * gain


def box_sums(integral: Tensor, boxes: Tensor) -> Tensor:
    """Differences of an integral image, which is no sampler: [C, H, W] and [K, 4]."""
    x0, y0, x1, y1 = boxes.long().unbind(1)
    return integral[:, y1, x1] - integral[:, y0, x1] - integral[:, y1, x0] + integral[:, y0, x0]


def over_their_sum(image: Tensor, points: Tensor) -> Tensor:
    """Weights are divided by their sum: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    x, y = points[:, 0].clamp(0, width - 1), points[:, 1].clamp(0, height - 1)
    x0, y0 = x.floor(), y.floor()
    x1, y1 = x0 + 1, y0 + 1
    weights = [(x1 - x) * (y1 - y), (x - x0) * (y1 - y), (x1 - x) * (y - y0), (x - x0) * (y - y0)]
    xs, ys = (x0.long(), x1.clamp(max=width - 1).long()), (y0.long(), y1.clamp(max=height - 1).long())
    total = torch.zeros(())
    for (j, i), weight in zip(product(ys, xs), weights, strict=True):
        total = total + image[:, j, i] * weight
    return total / (weights[0] + weights[1] + weights[2] + weights[3])


def over_those_valid(image: Tensor, points: Tensor) -> Tensor:
    """Divided by the weights of corners inside: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    (x0, u), (y0, v) = floored(points[:, 0]), floored(points[:, 1])
    total, weights = torch.zeros(()), torch.zeros(())
    for (dy, wy), (dx, wx) in product(((0, 1 - v), (1, v)), ((0, 1 - u), (1, u))):
        i, j = x0 + dx, y0 + dy
        weight = wx * wy * ((i >= 0) & (i < width) & (j >= 0) & (j < height)).float()
        total = total + image[:, j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] * weight
        weights = weights + weight
    return total / weights.clamp(min=1e-6)


_IMAGE: Axes = {1: "H", 2: "W"}
_ITEMS: Axes = {0: "B", 2: "H", 3: "W"}
_POINTS: Axes = {0: "P"}
FORMS: dict[str, tuple[Form, Callable[[], tuple[Tensor, ...]], tuple[Axes, ...]]] = {
    "affine_transformer": (
        affine_transformer,
        lambda: (torch.randn(2, 3, 4, 7), torch.randn(2, 2, 3)),
        (_ITEMS, {0: "B"}),
    ),
    "attention_of_one_level": (
        attention_of_one_level,
        lambda: (torch.randn(2, 20, 2, 3), torch.rand(2, 6, 2, 1, 4, 2) * 1.4 - 0.2, torch.rand(2, 6, 2, 1, 4)),
        ({0: "B"}, {0: "B", 1: "Q"}, {0: "B", 1: "Q"}),
    ),
    "b_spline": (b_spline, lambda: (torch.randn(2, 8), torch.randn(5) * 9), ({1: "W"}, _POINTS)),
    "box_sums": (box_sums, lambda: (torch.randn(3, 9, 11), torch.rand(5, 4) * 8), (_IMAGE, _POINTS)),
    "catmull_rom": (catmull_rom, lambda: (torch.randn(2, 8), torch.randn(5) * 9), ({1: "W"}, _POINTS)),
    "colour_table": (
        colour_table,
        lambda: (torch.randn(3, 5, 5, 5), torch.rand(2, 3, 4, 6)),
        ({}, {0: "N", 2: "H", 3: "W"}),
    ),
    "correlation_pyramid": (
        correlation_pyramid,
        lambda: (torch.randn(5, 1, 8, 6), torch.rand(5, 2) * 6),
        ({0: "N", 2: "H", 3: "W"}, {0: "N"}),
    ),
    "cube_map": (
        cube_map,
        lambda: (torch.randn(6, 3, 4, 5), torch.randint(0, 6, (9,)), torch.rand(9, 2) * 4),
        ({2: "H", 3: "W"}, _POINTS, _POINTS),
    ),
    "cut_off_features": (cut_off_features, lambda: (torch.randn(3, 4, 5), torch.randn(9, 2) * 4), (_IMAGE, _POINTS)),
    "delay_line": (
        delay_line,
        lambda: (torch.randn(2, 8), torch.randn(2, 5) * 9),
        ({0: "B", 1: "T"}, {0: "B", 1: "S"}),
    ),
    "delay_line_wrapped_once": (
        delay_line_wrapped_once,
        lambda: (torch.randn(2, 8), torch.randn(2, 5) * 9),
        ({0: "B", 1: "T"}, {0: "B", 1: "S"}),
    ),
    "dense_grid": (dense_grid, lambda: (torch.randn(125, 2), torch.rand(7, 3)), ({}, _POINTS)),
    "fraction_of_texture": (fraction_of_texture, lambda: (torch.randn(3, 4, 5), torch.randn(9, 2)), (_IMAGE, _POINTS)),
    "hash_grid": (hash_grid, lambda: (torch.randn(64, 2), torch.rand(7, 3)), ({}, _POINTS)),
    "log_polar_rings": (log_polar_rings, lambda: (torch.randn(3, 9, 11), torch.rand(1)), (_IMAGE, {})),
    "mip_levels": (
        mip_levels,
        lambda: (torch.randn(2, 8, 6), torch.randn(2, 4, 3), torch.rand(5, 2) * 1.4 - 0.2, torch.rand(5)),
        (_IMAGE, {1: "h", 2: "w"}, _POINTS, _POINTS),
    ),
    "over_their_sum": (over_their_sum, lambda: (torch.randn(3, 9, 11), torch.rand(5, 2) * 8), (_IMAGE, _POINTS)),
    "over_those_valid": (
        over_those_valid,
        lambda: (torch.randn(3, 9, 11), torch.rand(5, 2) * 14 - 2),
        (_IMAGE, _POINTS),
    ),
    "palette": (palette, lambda: (torch.randn(256, 3), torch.rand(2, 4, 5)), ({}, {0: "N", 1: "H", 2: "W"})),
    "panorama_of_directions": (
        panorama_of_directions,
        lambda: (torch.randn(3, 4, 7), torch.randn(3, 5, 3)),
        (_IMAGE, {0: "h", 1: "w"}),
    ),
    "panorama_with_margin": (
        panorama_with_margin,
        lambda: (torch.randn(3, 4, 7), torch.randn(3, 5, 2) * 9),
        (_IMAGE, {0: "h", 1: "w"}),
    ),
    "perlin_noise": (perlin_noise, lambda: (torch.randn(256, 2), torch.randn(9, 2) * 9), ({}, _POINTS)),
    "point_features": (
        point_features,
        lambda: (torch.randn(2, 3, 4, 7), torch.rand(2, 5, 2) * 1.4 - 0.2),
        (_ITEMS, {0: "B", 1: "P"}),
    ),
    "position_bias": (position_bias, lambda: (torch.randn(5, 7, 3), torch.randn(9, 2)), ({0: "H", 1: "W"}, _POINTS)),
    "repeated_texture": (repeated_texture, lambda: (torch.randn(3, 4, 5), torch.randn(9, 2)), (_IMAGE, _POINTS)),
    "rotated_roi_align": (rotated_roi_align, lambda: (torch.randn(2, 8, 6), torch.rand(4, 5) * 5), (_IMAGE, {0: "K"})),
    "rounded_features": (rounded_features, lambda: (torch.randn(3, 4, 5), torch.randn(9, 2) * 4), (_IMAGE, _POINTS)),
    "shift_volume": (shift_volume, lambda: (torch.randn(2, 3, 4, 7), torch.randn(2, 3, 4, 7)), (_ITEMS, _ITEMS)),
    "stereo_shift": (stereo_shift, lambda: (torch.randn(2, 3, 4, 7), torch.randn(2, 1, 4, 7) * 2), (_ITEMS, _ITEMS)),
    "time_warp": (
        time_warp,
        lambda: (torch.randn(2, 8, 3), torch.rand(2, 5) * 9 - 1),
        ({0: "B", 1: "T"}, {0: "B", 1: "S"}),
    ),
    "triplane": (triplane, lambda: (torch.randn(3, 2, 6, 5), torch.randn(7, 3)), ({2: "H", 3: "W"}, _POINTS)),
    "undistorted": (
        undistorted,
        lambda: (torch.randn(2, 6, 5), torch.rand(4, 3, 2) * 5, torch.rand(7, 2) * 4),
        (_IMAGE, {0: "h", 1: "w"}, _POINTS),
    ),
    "voxel_flow": (
        voxel_flow,
        lambda: (torch.randn(2, 8, 6), torch.randn(2, 8, 6), torch.randn(3, 8, 6)),
        (_IMAGE, _IMAGE, _IMAGE),
    ),
}
"""By name, the function, its inputs, and their free axes."""
