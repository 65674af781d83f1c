"""Forty-eight ways in which public code samples an image by hand, none of them in the other tables; each written anew.

`export` has how they are exported: by TorchScript (opset 17) and by dynamo. Sizes are small and odd.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.campaigns.field.forms.parts import Form, floored, mix


def _border(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[C, H, W] at points of any shape, indices clamped."""
    _, height, width = image.shape
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, xb = (i.clamp(0, width - 1).long() for i in (x0, x0 + 1))
    ya, yb = (i.clamp(0, height - 1).long() for i in (y0, y0 + 1))
    return mix(image[:, ya, xa], image[:, ya, xb], image[:, yb, xa], image[:, yb, xb], u, v)


def texture_repeat(texture: Tensor, uv: Tensor) -> Tensor:
    """A texture that is repeated, texels at halves: [H, W, C] at [P, 2] in 0 to 1."""
    height, width, _ = texture.shape
    (x0, u), (y0, v) = floored(uv[:, 0] * width - 0.5), floored(uv[:, 1] * height - 0.5)
    x0, y0 = x0.long(), y0.long()
    xa, xb, ya, yb = x0 % width, (x0 + 1) % width, y0 % height, (y0 + 1) % height
    return mix(texture[ya, xa], texture[ya, xb], texture[yb, xa], texture[yb, xb], u[:, None], v[:, None])


def panorama(image: Tensor, grid: Tensor) -> Tensor:
    """Perspective views of a panorama, item by item: [B, C, H, W] at [B, 2, h, w], rows first."""
    out = []
    for item, where in zip(image, grid, strict=True):
        low = torch.floor(where).to(torch.int64)
        high = low + 1
        dy, dx = where - low
        size = torch.tensor(item.shape[1:]).view(2, 1, 1)
        (ya, xa), (yb, xb) = low % size, high % size
        top = item[:, ya, xa] * (1 - dx) + item[:, ya, xb] * dx
        bottom = item[:, yb, xa] * (1 - dx) + item[:, yb, xb] * dx
        out.append(top * (1 - dy) + bottom * dy)
    return torch.stack(out)


def mirrored_repeat(texture: Tensor, uv: Tensor) -> Tensor:
    """Each second repetition is mirrored, outer texels twice: [C, H, W] at [P, 2]."""
    height, width = texture.shape[1:]
    (x0, u), (y0, v) = floored(uv[:, 0]), floored(uv[:, 1])

    def mirrored(i: Tensor, size: int) -> Tensor:
        i = i.long() % (2 * size)
        return torch.minimum(i, 2 * size - 1 - i)

    xa, xb = mirrored(x0, width), mirrored(x0 + 1, width)
    ya, yb = mirrored(y0, height), mirrored(y0 + 1, height)
    return mix(texture[:, ya, xa], texture[:, ya, xb], texture[:, yb, xa], texture[:, yb, xb], u, v)


def remap_reflect_101(image: Tensor, map_x: Tensor, map_y: Tensor) -> Tensor:
    """cv2.remap with BORDER_REFLECT_101: [C, H, W] at two maps [h, w]."""
    height, width = image.shape[1:]
    (x0, u), (y0, v) = floored(map_x), floored(map_y)

    def reflected(i: Tensor, size: int) -> Tensor:
        last = size - 1
        return last - (i.long() % (2 * last) - last).abs()

    xa, xb = reflected(x0, width), reflected(x0 + 1, width)
    ya, yb = reflected(y0, height), reflected(y0 + 1, height)
    return mix(image[:, ya, xa], image[:, ya, xb], image[:, yb, xa], image[:, yb, xb], u, v)


def remap_constant(image: Tensor, map_x: Tensor, map_y: Tensor) -> Tensor:
    """cv2.remap with BORDER_CONSTANT of 127: [C, H, W] at two maps [h, w]."""
    height, width = image.shape[1:]
    (x0, u), (y0, v) = floored(map_x), floored(map_y)

    def tap(x: Tensor, y: Tensor) -> Tensor:
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        value = image[:, y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long()]
        return torch.where(inside, value, torch.tensor(127.0))

    return mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u, v)


def addons_interpolate(grid: Tensor, queries: Tensor) -> Tensor:
    """Floors kept two from the end, fractions kept in 0 to 1: [B, H, W, C] at [B, P, 2], rows first."""
    batch, height, width, channels = grid.shape
    floors, alphas = [], []
    for k, size in ((0, height), (1, width)):
        low = torch.floor(queries[..., k]).clamp(0, size - 2)
        floors.append(low.long())
        alphas.append((queries[..., k] - low).clamp(0, 1)[..., None])
    rows = grid.reshape(batch * height * width, channels)
    base = (torch.arange(batch) * height * width)[:, None]
    at = base + floors[0] * width + floors[1]
    top = rows[at] + alphas[1] * (rows[at + 1] - rows[at])
    bottom = rows[at + width] + alphas[1] * (rows[at + width + 1] - rows[at + width])
    return top + alphas[0] * (bottom - top)


def half_integer_hats(image: Tensor, warp: Tensor) -> Tensor:
    """Pixels at halves, each corner weighted by its distance, the outermost repeated: [H, W, C] at [P, 2]."""
    height, width, _ = image.shape
    low = torch.floor(warp - 0.5)
    total = torch.zeros(warp.shape[0], image.shape[2])
    for dy, dx in product((0, 1), repeat=2):
        x, y = low[:, 0] + dx, low[:, 1] + dy
        weight = (1 - (warp[:, 0] - 0.5 - x).abs()).clamp(min=0) * (1 - (warp[:, 1] - 0.5 - y).abs()).clamp(min=0)
        value = image[y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long()]
        total = total + weight[:, None] * value
    return total


def rows_then_columns(image: Tensor, positions: Tensor) -> Tensor:
    """Positions name the row first; weights from corners that are not clamped: [C, H, W] at [P, 2]."""
    y, x = positions[:, 0], positions[:, 1]
    x0, y0 = torch.floor(x).long(), torch.floor(y).long()
    x1, y1 = x0 + 1, y0 + 1
    ia, ib, ic, id_ = (
        image[:, j.clamp(0, image.shape[1] - 1), i.clamp(0, image.shape[2] - 1)]
        for i, j in ((x0, y0), (x0, y1), (x1, y0), (x1, y1))
    )
    wa, wb = (x1 - x) * (y1 - y), (x1 - x) * (y - y0)
    wc, wd = (x - x0) * (y1 - y), (x - x0) * (y - y0)
    return (ia * wa + ib * wb + ic * wc + id_ * wd).t()


def safe_corners(images: Tensor, points: Tensor) -> Tensor:
    """Weights from clamped corners, which cancel outside: [B, H, W, C] at [B, h, w, 2]."""
    batch, height, width, channels = images.shape
    x, y = points.split([1, 1], dim=-1)
    x0, y0 = torch.floor(x), torch.floor(y)
    x0s, x1s = x0.clamp(0, width - 1), (x0 + 1).clamp(0, width - 1)
    y0s, y1s = y0.clamp(0, height - 1), (y0 + 1).clamp(0, height - 1)
    base = (torch.arange(batch) * height * width).view(batch, 1, 1, 1)
    flat = images.reshape(-1, channels)

    def at(yy: Tensor, xx: Tensor) -> Tensor:
        index = (base + yy * width + xx).reshape(-1).long()
        return flat[index].view(*points.shape[:3], channels)

    w0x, w1x, w0y, w1y = x1s - x, x - x0s, y1s - y, y - y0s
    return w0x * w0y * at(y0s, x0s) + w0x * w1y * at(y1s, x0s) + w1x * w0y * at(y0s, x1s) + w1x * w1y * at(y1s, x1s)


def crop_with_extrapolation(image: Tensor, boxes: Tensor) -> Tensor:
    """Crops of 3x4 of boxes in 0 to 1, -1 wherever a point is outside: [C, H, W] and [K, 4] -> [K, C, 3, 4]."""
    _, height, width = image.shape
    ys = boxes[:, 0:1] * (height - 1) + torch.arange(3) * (boxes[:, 2:3] - boxes[:, 0:1]) * (height - 1) / 2
    xs = boxes[:, 1:2] * (width - 1) + torch.arange(4) * (boxes[:, 3:4] - boxes[:, 1:2]) * (width - 1) / 3
    (y0, v), (x0, u) = floored(ys), floored(xs)
    ya, yb = (i.clamp(0, height - 1).long()[:, :, None] for i in (y0, y0 + 1))
    xa, xb = (i.clamp(0, width - 1).long()[:, None, :] for i in (x0, x0 + 1))
    u, v = u[:, None, :], v[:, :, None]
    out = mix(image[:, ya, xa], image[:, ya, xb], image[:, yb, xa], image[:, yb, xb], u, v)
    seen = ((ys >= 0) & (ys <= height - 1))[:, :, None] & ((xs >= 0) & (xs <= width - 1))[:, None, :]
    return torch.where(seen, out, torch.tensor(-1.0)).permute(1, 0, 2, 3)


def roi_align_averaged(features: Tensor, rois: Tensor) -> Tensor:
    """Two samples a bin along each axis, averaged by a pooling: [C, H, W] and [K, 4] -> [K, C, 3, 3]."""
    _, height, width = features.shape
    steps = (torch.arange(6) + 0.5) / 6
    ys = (rois[:, 1:2] + (rois[:, 3:4] - rois[:, 1:2]) * steps).clamp(0, height - 1)
    xs = (rois[:, 0:1] + (rois[:, 2:3] - rois[:, 0:1]) * steps).clamp(0, width - 1)
    (y0, v), (x0, u) = floored(ys), floored(xs)
    ya, xa = y0.long()[:, :, None], x0.long()[:, None, :]
    yb, xb = (ya + 1).clamp(max=height - 1), (xa + 1).clamp(max=width - 1)
    f = features.permute(1, 2, 0)
    u, v = u[:, None, :, None], v[:, :, None, None]
    samples = mix(f[ya, xa], f[ya, xb], f[yb, xa], f[yb, xb], u, v)
    return F.avg_pool2d(samples.permute(0, 3, 1, 2), 2)


def floor_and_ceil(features: Tensor, points: Tensor) -> Tensor:
    """Graph projection: weights from floor and ceil, all 0 where a coordinate is whole: [C, H, W] at [P, 2]."""
    height, width = features.shape[1:]
    x, y = points[:, 0].clamp(0, width - 1), points[:, 1].clamp(0, height - 1)
    x1, x2, y1, y2 = torch.floor(x), torch.ceil(x), torch.floor(y), torch.ceil(y)
    q11, q12, q21, q22 = (features[:, j.long(), i.long()] for i, j in ((x1, y1), (x1, y2), (x2, y1), (x2, y2)))
    return q11 * (x2 - x) * (y2 - y) + q21 * (x - x1) * (y2 - y) + q12 * (x2 - x) * (y - y1) + q22 * (x - x1) * (y - y1)


def correlation_lookup(correlation: Tensor, centres: Tensor) -> Tensor:
    """Windows of 3x3 around one point an item, 0 outside: [N, 1, H, W] at [N, 2] -> [N, 9]."""
    count, _, height, width = correlation.shape
    r = torch.linspace(-1, 1, 3)
    delta = torch.stack(torch.meshgrid(r, r, indexing="ij"), -1)
    points = centres.view(count, 1, 1, 2) + delta
    (x0, u), (y0, v) = floored(points[..., 0]), floored(points[..., 1])
    flat = correlation.reshape(count, height * width)

    def tap(x: Tensor, y: Tensor) -> Tensor:
        inside = ((x > -1) & (x < width) & (y > -1) & (y < height)).float()
        index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        return flat.gather(1, index.long().view(count, -1)).view(count, 3, 3) * inside

    out = mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u, v)
    return out.reshape(count, -1)


def descriptors(coarse: Tensor, keypoints: Tensor) -> Tensor:
    """Unit descriptors at keypoints of an image eight times as large: [1, D, H, W] at [1, K, 2] -> [1, K, D]."""
    height, width = coarse.shape[2:]
    p = (keypoints - 3.5) / 8
    x, y = p[0, :, 0].clamp(0, width - 1), p[0, :, 1].clamp(0, height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = torch.clamp(x0 + 1, max=width - 1), torch.clamp(y0 + 1, max=height - 1)
    u, v = x - x0, y - y0
    d = coarse[0]
    value = mix(d[:, y0, x0], d[:, y0, x1], d[:, y1, x0], d[:, y1, x1], u, v)
    return F.normalize(value, dim=0).t()[None]


def heatmap_scores(heatmaps: Tensor, keypoints: Tensor) -> Tensor:
    """Each keypoint in the map of its own: [B, K, H, W] at [B, K, 2] -> [B, K]."""
    batch, count, height, width = heatmaps.shape
    (x0, u), (y0, v) = floored(keypoints[..., 0]), floored(keypoints[..., 1])
    flat = heatmaps.reshape(batch, count, -1)
    taps = []
    for dy, dx in product((0, 1), repeat=2):
        index = (y0 + dy).clamp(0, height - 1) * width + (x0 + dx).clamp(0, width - 1)
        taps.append(torch.gather(flat, 2, index.long()[..., None])[..., 0])
    return mix(*taps, u, v)


def camera_features(features: Tensor, points: Tensor, intrinsics: Tensor) -> Tensor:
    """Points in a camera's frame take its features, 0 behind it and outside: [C, H, W], [P, 3], [3, 3] -> [P, C]."""
    height, width = features.shape[1:]
    p = points @ intrinsics.t()
    depth = p[:, 2]
    x, y = p[:, 0] / depth.clamp(min=1e-3), p[:, 1] / depth.clamp(min=1e-3)
    seen = (depth > 1e-3) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    out = _border(features, x.clamp(0, width - 1), y.clamp(0, height - 1))
    return (out * seen.float()).t()


def homography(image: Tensor, matrix: Tensor) -> Tensor:
    """Warped by one matrix an item, indices clamped: [B, C, H, W] and [B, 3, 3]."""
    batch, channels, height, width = image.shape
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    p = torch.stack([xs.reshape(-1), ys.reshape(-1), torch.ones(height * width)])
    q = matrix @ p
    x, y = q[:, 0] / q[:, 2], q[:, 1] / q[:, 2]
    (x0, u), (y0, v) = floored(x), floored(y)
    flat = image.flatten(2)

    def tap(i: Tensor, j: Tensor) -> Tensor:
        index = (j.clamp(0, height - 1) * width + i.clamp(0, width - 1)).long()
        return flat.gather(2, index[:, None].expand(-1, channels, -1))

    taps = tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1)
    return mix(*taps, u[:, None], v[:, None]).view(batch, channels, height, width)


def bytes_rotated(image: Tensor, angle: Tensor) -> Tensor:
    """An image of bytes, rotated about its middle, 0 outside: [H, W, C] uint8, one number -> float."""
    height, width, _ = image.shape
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x = torch.cos(angle) * (xs - cx) - torch.sin(angle) * (ys - cy) + cx
    y = torch.sin(angle) * (xs - cx) + torch.cos(angle) * (ys - cy) + cy
    (x0, u), (y0, v) = floored(x), floored(y)

    def tap(i: Tensor, j: Tensor) -> Tensor:
        ok = ((i >= 0) & (i <= width - 1) & (j >= 0) & (j <= height - 1))[..., None]
        value = image[j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()].float()
        return value * ok

    return mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u[..., None], v[..., None])


def polar(image: Tensor, centre: Tensor) -> Tensor:
    """Rings around a centre, on an image with a margin of zeros: [1, C, H, W] and [2] -> [1, C, 5, 9]."""
    height, width = image.shape[2:]
    radius, angle = torch.arange(5.0)[:, None], torch.arange(9.0)[None] * 0.7
    x = centre[0] + radius * torch.cos(angle) + 1
    y = centre[1] + radius * torch.sin(angle) + 1
    wide = F.pad(image, (1, 1, 1, 1))[0]
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, xb = (i.clamp(0, width + 1).long() for i in (x0, x0 + 1))
    ya, yb = (i.clamp(0, height + 1).long() for i in (y0, y0 + 1))
    return mix(wide[:, ya, xa], wide[:, ya, xb], wide[:, yb, xa], wide[:, yb, xb], u, v)[None]


def shifted_copies(image: Tensor, points: Tensor) -> Tensor:
    """One index into four copies of the image, each moved by a pixel: [C, H, W] at [P, 2] inside."""
    height, width = image.shape[1:]
    x, y = points[:, 0].clamp(0, width - 1), points[:, 1].clamp(0, height - 1)
    x0, y0 = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    u, v = x - x0, y - y0
    index = (y0 * (width - 1) + x0).long()
    quarter = [image[:, i : height - 1 + i, j : width - 1 + j].flatten(1)[:, index] for i in (0, 1) for j in (0, 1)]
    return mix(*quarter, u, v)


def replicated_margin(image: Tensor, points: Tensor) -> Tensor:
    """A margin that repeats the outermost pixels instead of clamped indices: [1, C, H, W] at [P, 2]."""
    height, width = image.shape[2:]
    wide = F.pad(image, (1, 1, 1, 1), mode="replicate")[0]
    x, y = points[:, 0].clamp(-1, width) + 1, points[:, 1].clamp(-1, height) + 1
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, ya = x0.clamp(max=width).long(), y0.clamp(max=height).long()
    u, v = x - xa, y - ya
    return mix(wide[:, ya, xa], wide[:, ya, xa + 1], wide[:, ya + 1, xa], wide[:, ya + 1, xa + 1], u, v)


def video_flow(frames: Tensor, flow: Tensor) -> Tensor:
    """Every frame of every clip by its flow, 0 outside: [B, T, C, H, W] and [B, T, 2, H, W]."""
    batch, time, channels, height, width = frames.shape
    image, move = frames.flatten(0, 1), flow.flatten(0, 1)
    x = torch.arange(width) + move[:, 0]
    y = torch.arange(height)[:, None] + move[:, 1]
    (x0, u), (y0, v) = floored(x), floored(y)
    item = torch.arange(batch * time)[:, None, None]
    last = image.permute(0, 2, 3, 1)

    def tap(i: Tensor, j: Tensor) -> Tensor:
        ok = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        value = last[item, j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()]
        return torch.where(ok[..., None], value, torch.zeros(()))

    out = mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u[..., None], v[..., None])
    return out.permute(0, 3, 1, 2).reshape(batch, time, channels, height, width)


def plane_sweep(image: Tensor, rays: Tensor, depths: Tensor) -> Tensor:
    """One warp a depth, in a loop, stacked: [C, H, W], [h, w, 2] and [3] -> [3, C, h, w]."""
    return torch.stack([_border(image, rays[..., 0] / d, rays[..., 1] / d) for d in depths.unbind()])


def depth_warp(image: Tensor, depth: Tensor, pose: Tensor) -> Tensor:
    """Another view through depth and pose, weights times validity: [1, C, H, W], [1, H, W] and [1, 3, 4]."""
    _, channels, height, width = image.shape
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    rays = torch.stack([(xs - width / 2) / width, (ys - height / 2) / width, torch.ones(height, width)])
    cloud = (depth * rays).view(1, 3, -1)
    p = pose[:, :, :3] @ cloud + pose[:, :, 3:]
    z = p[:, 2].clamp(min=0.1)
    x, y = p[:, 0] / z * width + width / 2, p[:, 1] / z * width + height / 2
    (x0, u), (y0, v) = floored(x), floored(y)
    flat = image.flatten(2)
    total = torch.zeros(1, channels, height * width)
    for dy, wy in ((0, 1 - v), (1, v)):
        for dx, wx in ((0, 1 - u), (1, u)):
            i, j = x0 + dx, y0 + dy
            weight = wx * wy * ((i >= 0) & (i < width) & (j >= 0) & (j < height))
            index = (j.clamp(0, height - 1) * width + i.clamp(0, width - 1)).long()
            total = total + weight[:, None] * flat.gather(2, index[:, None].expand(-1, channels, -1))
    return total.view(1, channels, height, width)


def painted_points(scores: Tensor, pixels: Tensor) -> Tensor:
    """Points of a lidar take scores, -1 outside the image: [H, W, C] at [P, 2]."""
    height, width, _ = scores.shape
    x, y = pixels.unbind(1)
    inside = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, ya = x0.clamp(0, width - 2).long(), y0.clamp(0, height - 2).long()
    u, v = u[:, None], v[:, None]
    out = mix(scores[ya, xa], scores[ya, xa + 1], scores[ya + 1, xa], scores[ya + 1, xa + 1], u, v)
    return torch.where(inside[:, None], out, torch.full_like(out, -1.0))


def taken(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """torch.take of one plane: [H, W] at two [h, w]."""
    height, width = image.shape
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    x0, y0 = torch.floor(x), torch.floor(y)
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    a, b, c, d = (torch.take(image, (j * width + i).long()) for j, i in product((y0, y1), (x0, x1)))
    return mix(a, b, c, d, x - x0, y - y0)


def embedded(table: Tensor, points: Tensor) -> Tensor:
    """A table of positions for 6x7 cells as an embedding: [42, D] at [B, P, 2] in 0 to 1."""
    x, y = points[..., 0] * 6, points[..., 1] * 5
    x, y = x.clamp(0, 6), y.clamp(0, 5)
    x0, y0 = x.long(), y.long()
    x1, y1 = (x0 + 1).clamp(max=6), (y0 + 1).clamp(max=5)
    u, v = (x - x0)[..., None], (y - y0)[..., None]
    return mix(*(F.embedding(j * 7 + i, table) for j, i in product((y0, y1), (x0, x1))), u, v)


def fractions(image: Tensor, points: Tensor) -> Tensor:
    """torch.frac and torch.trunc of clamped points: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    p = torch.minimum(points.clamp(min=0), torch.tensor([width - 1.0, height - 1.0]))
    whole, part = torch.trunc(p).long(), torch.frac(p)
    (xa, ya), (u, v) = whole.unbind(1), part.unbind(1)
    xb, yb = (xa + 1).clamp(max=width - 1), (ya + 1).clamp(max=height - 1)
    return mix(image[:, ya, xa], image[:, ya, xb], image[:, yb, xa], image[:, yb, xb], u, v)


def floor_divided(image: Tensor, points: Tensor) -> Tensor:
    """The corner is p // 1 and the fraction p % 1: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    x, y = points[:, 0], points[:, 1]
    xa, ya, u, v = (x // 1).long(), (y // 1).long(), x % 1, y % 1
    left, right = xa.clamp(0, width - 1), (xa + 1).clamp(0, width - 1)
    upper, lower = ya.clamp(0, height - 1), (ya + 1).clamp(0, height - 1)
    return mix(image[:, upper, left], image[:, upper, right], image[:, lower, left], image[:, lower, right], u, v)


def clamped_grid(image: Tensor, grid: Tensor) -> Tensor:
    """A normalised grid kept in -1 to 1 before it is pixels: [B, C, H, W] at [B, h, w, 2]."""
    batch, channels, height, width = image.shape
    g = grid.clamp(-1, 1)
    x, y = (g[..., 0] + 1) / 2 * (width - 1), (g[..., 1] + 1) / 2 * (height - 1)
    x0, y0 = x.floor().clamp(0, width - 2), y.floor().clamp(0, height - 2)
    u, v = (x - x0).view(batch, 1, -1), (y - y0).view(batch, 1, -1)
    flat, start = image.flatten(2), (y0 * width + x0).long().view(batch, 1, -1)
    taps = [flat.gather(2, (start + step).expand(-1, channels, -1)) for step in (0, 1, width, width + 1)]
    return mix(*taps, u, v).view(batch, channels, *grid.shape[1:3])


def patches(image: Tensor, keypoints: Tensor, scale: Tensor) -> Tensor:
    """Scaled patches of 3x3 around keypoints: [B, C, H, W], [B, K, 2] and [B, K] -> [B, K, C, 3, 3]."""
    batch, _, height, width = image.shape
    step = torch.tensor([-1.0, 0.0, 1.0])
    x = keypoints[..., 0, None, None] + scale[..., None, None] * step
    y = keypoints[..., 1, None, None] + scale[..., None, None] * step[:, None]
    (x0, u), (y0, v) = floored(x), floored(y)
    item = torch.arange(batch).view(batch, 1, 1, 1)
    rows = image.permute(0, 2, 3, 1)
    xa, xb = (i.clamp(0, width - 1).long() for i in (x0, x0 + 1))
    ya, yb = (i.clamp(0, height - 1).long() for i in (y0, y0 + 1))
    taps = rows[item, ya, xa], rows[item, ya, xb], rows[item, yb, xa], rows[item, yb, xb]
    return mix(*taps, u[..., None], v[..., None]).permute(0, 1, 4, 2, 3)


def clamped_by_relu(image: Tensor, points: Tensor) -> Tensor:
    """Clamps as two ReLUs, for runtimes without Clip: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]

    def inside(p: Tensor, last: int) -> Tensor:
        return last - F.relu(last - F.relu(p))

    x, y = inside(points[:, 0], width - 1), inside(points[:, 1], height - 1)
    x0, y0 = torch.floor(x), torch.floor(y)
    x1, y1 = inside(x0 + 1, width - 1), inside(y0 + 1, height - 1)
    taps = (image[:, j.long(), i.long()] for j, i in product((y0, y1), (x0, x1)))
    return mix(*taps, x - x0, y - y0)


def table_of_corners(image: Tensor, points: Tensor) -> Tensor:
    """Floors plus a table of corners, one read, products over both axes: [H, W, C] at [P, 2]."""
    size = torch.tensor(image.shape[:2])
    corners = torch.tensor(list(product((0, 1), repeat=2)))
    low = torch.floor(points)
    at = low[:, None] + corners
    weights = (1 - (points[:, None] - at).abs()).prod(-1, keepdim=True)
    index = torch.minimum(at.long().clamp(min=0), size - 1)
    return (image[index[..., 0], index[..., 1]] * weights).sum(1)


def outer_corners(image: Tensor, points: Tensor) -> Tensor:
    """Two rows times two columns in one read, weights as an outer product: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    (x0, u), (y0, v) = floored(points[:, 0]), floored(points[:, 1])
    xs = torch.stack([x0, x0 + 1]).clamp(0, width - 1).long()
    ys = torch.stack([y0, y0 + 1]).clamp(0, height - 1).long()
    wx, wy = torch.stack([1 - u, u]), torch.stack([1 - v, v])
    return torch.einsum("cijp,ip,jp->cp", image[:, ys[:, None], xs[None]], wy, wx)


def quadratic_form(image: Tensor, points: Tensor) -> Tensor:
    """[1-v, v] times the cell times [1-u, u]: [H, W] at [P, 2]."""
    height, width = image.shape
    (x0, u), (y0, v) = floored(points[:, 0]), floored(points[:, 1])
    xs = torch.stack([x0, x0 + 1], 1).clamp(0, width - 1).long()
    ys = torch.stack([y0, y0 + 1], 1).clamp(0, height - 1).long()
    cell = image[ys[:, :, None], xs[:, None, :]]
    row, column = torch.stack([1 - v, v], 1)[:, None], torch.stack([1 - u, u], 1)[:, :, None]
    return (row @ cell @ column)[:, 0, 0]


def two_triangles(image: Tensor, points: Tensor) -> Tensor:
    """Linear on each of a cell's two triangles, which is not bilinear: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    x, y = points[:, 0].clamp(0, width - 1.001), points[:, 1].clamp(0, height - 1.001)
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, ya = x0.long(), y0.long()
    a, b, c, d = (image[:, ya + j, xa + i] for j, i in product((0, 1), repeat=2))
    upper = a + u * (b - a) + v * (d - b)
    lower = a + v * (c - a) + u * (d - c)
    return torch.where(u >= v, upper, lower)


def smoothstep(image: Tensor, points: Tensor) -> Tensor:
    """Weights eased by 3t^2 - 2t^3, which is not bilinear: [C, H, W] at [P, 2]."""
    height, width = image.shape[1:]
    x, y = points[:, 0].clamp(0, width - 1.001), points[:, 1].clamp(0, height - 1.001)
    (x0, u), (y0, v) = floored(x), floored(y)
    xa, ya = x0.long(), y0.long()
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    return mix(*(image[:, ya + j, xa + i] for j, i in product((0, 1), repeat=2)), u, v)


def mask_of_ones(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image of ones is sampled as well, and only where it gives 1 the sample counts: [C, H, W] at [h, w]."""

    def zeros(of: Tensor) -> Tensor:
        height, width = of.shape[1:]
        (x0, u), (y0, v) = floored(x), floored(y)

        def tap(i: Tensor, j: Tensor) -> Tensor:
            ok = (i >= 0) & (i < width) & (j >= 0) & (j < height)
            return of[:, j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] * ok

        return mix(tap(x0, y0), tap(x0 + 1, y0), tap(x0, y0 + 1), tap(x0 + 1, y0 + 1), u, v)

    return zeros(image) * (zeros(torch.ones_like(image)) > 0.9999).float()


def pyramid(fine: Tensor, coarse: Tensor, points: Tensor) -> Tensor:
    """The same points on two levels, added: [C, H, W], [C, h, w] at [P, 2] in pixels of the fine one."""
    return _border(fine, points[:, 0], points[:, 1]) + _border(coarse, points[:, 0] / 2, points[:, 1] / 2)


def two_images(colour: Tensor, depth: Tensor, points: Tensor) -> Tensor:
    """Two images at the same points, side by side: [3, H, W], [1, H, W] at [P, 2]."""
    x, y = points[:, 0], points[:, 1]
    return torch.cat([_border(colour, x, y), _border(depth, x, y)])


def mapped_items(images: Tensor, points: Tensor) -> Tensor:
    """torch.vmap of the sampler of one item: [B, C, H, W] at [B, P, 2]."""
    return torch.vmap(lambda image, p: _border(image, p[:, 0], p[:, 1]))(images, points)


def along_dim(image: Tensor, points: Tensor) -> Tensor:
    """torch.take_along_dim, broadcasting over channels: [B, C, H, W] at [B, P, 2]."""
    height, width = image.shape[2:]
    (x0, u), (y0, v) = floored(points[..., 0]), floored(points[..., 1])
    flat = image.flatten(2)
    taps = []
    for dy, dx in product((0, 1), repeat=2):
        index = (y0 + dy).clamp(0, height - 1) * width + (x0 + dx).clamp(0, width - 1)
        taps.append(torch.take_along_dim(flat, index.long()[:, None], 2))
    return mix(*taps, u[:, None], v[:, None])


def every_second(image: Tensor, points: Tensor) -> Tensor:
    """Of every second row and column: [C, H, W] at [P, 2] in pixels of the whole."""
    return _border(image[:, ::2, ::2], points[:, 0] / 2, points[:, 1] / 2)


def sixteenths(image: Tensor, points: Tensor) -> Tensor:
    """Coordinates in sixteenths of a pixel, as integers: [C, H, W] at [P, 2] int32."""
    return _border(image, points[:, 0].float() / 16, points[:, 1].float() / 16)


def in_doubles(image: Tensor, points: Tensor) -> Tensor:
    """All in double precision: [C, H, W] at [P, 2]."""
    return _border(image, points[:, 0], points[:, 1])


def unfolded_cells(image: Tensor, points: Tensor) -> Tensor:
    """Cells of 2x2 pixels side by side first, then one read of a cell a point: [1, C, H, W] at [P, 2]."""
    _, channels, height, width = image.shape
    x, y = points[:, 0].clamp(0, width - 1), points[:, 1].clamp(0, height - 1)
    x0, y0 = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    cells = F.unfold(image, 2).view(channels, 4, -1)
    a, b, c, d = cells[:, :, (y0 * (width - 1) + x0).long()].unbind(1)
    return mix(a, b, c, d, x - x0, y - y0)


def averaged_flows(image: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """Half of the sample at one flow and half of that at another: [C, H, W] at two [h, w, 2]."""
    return 0.5 * _border(image, forward[..., 0], forward[..., 1]) + 0.5 * _border(
        image, backward[..., 0], backward[..., 1]
    )


def out_of_map(features: Tensor, positions: Tensor) -> Tensor:
    """Agents take the map's features, a learned number's stand-in outside: [B, C, H, W] at [B, A, 2] -> [B, A, C]."""
    batch, _, height, width = features.shape
    x, y = positions[..., 0] + width / 2, positions[..., 1] + height / 2
    lost = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    (x0, u), (y0, v) = floored(x), floored(y)
    item = torch.arange(batch)[:, None].expand(-1, positions.shape[1])
    xa, xb = (i.clamp(0, width - 1).long() for i in (x0, x0 + 1))
    ya, yb = (i.clamp(0, height - 1).long() for i in (y0, y0 + 1))
    taps = features[item, :, ya, xa], features[item, :, ya, xb], features[item, :, yb, xa], features[item, :, yb, xb]
    return mix(*taps, u[..., None], v[..., None]).masked_fill(lost[..., None], -10.0)


def _points(*shape: int) -> Tensor:
    return torch.randn(*shape) * 4 + 3


IMAGE = (3, 9, 11)
FORMS: dict[str, tuple[Form, Callable[[], tuple[Tensor, ...]]]] = {
    "texture_repeat": (texture_repeat, lambda: (torch.randn(9, 11, 3), torch.randn(13, 2))),
    "panorama": (panorama, lambda: (torch.randn(2, *IMAGE), _points(2, 2, 5, 7))),
    "mirrored_repeat": (mirrored_repeat, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "remap_reflect_101": (remap_reflect_101, lambda: (torch.randn(*IMAGE), _points(5, 7), _points(5, 7))),
    "remap_constant": (remap_constant, lambda: (torch.randn(*IMAGE), _points(5, 7), _points(5, 7))),
    "addons_interpolate": (addons_interpolate, lambda: (torch.randn(2, 9, 11, 3), _points(2, 13, 2))),
    "half_integer_hats": (half_integer_hats, lambda: (torch.randn(9, 11, 3), _points(13, 2))),
    "rows_then_columns": (rows_then_columns, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "safe_corners": (safe_corners, lambda: (torch.randn(2, 9, 11, 3), _points(2, 5, 7, 2))),
    "crop_with_extrapolation": (crop_with_extrapolation, lambda: (torch.randn(*IMAGE), torch.rand(5, 4) * 2 - 0.5)),
    "roi_align_averaged": (roi_align_averaged, lambda: (torch.randn(*IMAGE), _points(5, 4))),
    "floor_and_ceil": (floor_and_ceil, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "correlation_lookup": (correlation_lookup, lambda: (torch.randn(6, 1, 9, 11), _points(6, 2))),
    "descriptors": (descriptors, lambda: (torch.randn(1, 4, 9, 11), torch.rand(1, 13, 2) * 80)),
    "heatmap_scores": (heatmap_scores, lambda: (torch.randn(2, 5, 9, 11), _points(2, 5, 2))),
    "camera_features": (
        camera_features,
        lambda: (torch.randn(*IMAGE), torch.rand(13, 3) + 0.1, torch.tensor([[5.0, 0, 2], [0, 5, 2], [0, 0, 1]])),
    ),
    "homography": (homography, lambda: (torch.randn(2, *IMAGE), torch.eye(3) + 0.05 * torch.rand(2, 3, 3))),
    "bytes_rotated": (
        bytes_rotated,
        lambda: (torch.randint(0, 255, (9, 11, 3), dtype=torch.uint8), torch.tensor(0.3)),
    ),
    "polar": (polar, lambda: (torch.randn(1, *IMAGE), torch.tensor([5.0, 4.0]))),
    "shifted_copies": (shifted_copies, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "replicated_margin": (replicated_margin, lambda: (torch.randn(1, *IMAGE), _points(13, 2))),
    "video_flow": (video_flow, lambda: (torch.randn(2, 3, 4, 9, 11), torch.randn(2, 3, 2, 9, 11) * 3)),
    "plane_sweep": (plane_sweep, lambda: (torch.randn(*IMAGE), _points(5, 7, 2), torch.tensor([0.5, 1.0, 2.0]))),
    "depth_warp": (
        depth_warp,
        lambda: (
            torch.randn(1, *IMAGE),
            torch.rand(1, 9, 11) + 0.5,
            torch.eye(4)[None, :3] + 0.1 * torch.rand(1, 3, 4),
        ),
    ),
    "painted_points": (painted_points, lambda: (torch.randn(9, 11, 3), _points(13, 2))),
    "taken": (taken, lambda: (torch.randn(9, 11), _points(5, 7), _points(5, 7))),
    "embedded": (embedded, lambda: (torch.randn(42, 8), torch.rand(2, 13, 2) * 2 - 0.5)),
    "fractions": (fractions, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "floor_divided": (floor_divided, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "clamped_grid": (clamped_grid, lambda: (torch.randn(2, *IMAGE), torch.randn(2, 5, 7, 2))),
    "patches": (patches, lambda: (torch.randn(2, *IMAGE), _points(2, 5, 2), torch.rand(2, 5) + 0.5)),
    "clamped_by_relu": (clamped_by_relu, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "table_of_corners": (table_of_corners, lambda: (torch.randn(9, 11, 3), _points(13, 2))),
    "outer_corners": (outer_corners, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "quadratic_form": (quadratic_form, lambda: (torch.randn(9, 11), _points(13, 2))),
    "two_triangles": (two_triangles, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "smoothstep": (smoothstep, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "mask_of_ones": (mask_of_ones, lambda: (torch.randn(*IMAGE), _points(5, 7), _points(5, 7))),
    "pyramid": (pyramid, lambda: (torch.randn(*IMAGE), torch.randn(3, 5, 6), _points(13, 2))),
    "two_images": (two_images, lambda: (torch.randn(*IMAGE), torch.randn(1, 9, 11), _points(13, 2))),
    "mapped_items": (mapped_items, lambda: (torch.randn(2, *IMAGE), _points(2, 13, 2))),
    "along_dim": (along_dim, lambda: (torch.randn(2, *IMAGE), _points(2, 13, 2))),
    "every_second": (every_second, lambda: (torch.randn(*IMAGE), _points(13, 2))),
    "sixteenths": (sixteenths, lambda: (torch.randn(*IMAGE), (_points(13, 2) * 16).int())),
    "in_doubles": (in_doubles, lambda: (torch.randn(*IMAGE).double(), _points(13, 2).double())),
    "unfolded_cells": (unfolded_cells, lambda: (torch.randn(1, *IMAGE), _points(13, 2))),
    "averaged_flows": (averaged_flows, lambda: (torch.randn(*IMAGE), _points(5, 7, 2), _points(5, 7, 2))),
    "out_of_map": (out_of_map, lambda: (torch.randn(2, *IMAGE), _points(2, 13, 2))),
}
"""By name, the function and its inputs."""
