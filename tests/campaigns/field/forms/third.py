"""Forty-eight ways of public code after the first two lists: video, geometry, volumes, deformable layers, ports of the
spatial transformer, audio, optics, tables of positions; each written anew.

Some are near a sampler and none: they have to be left, with a reason that is true. `FORMS` has the names of the axes
that are free in an export with dynamic sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.campaigns.field.forms.parts import Form
from tests.campaigns.field.forms.second import Axes

# Video


def _at(flat: Tensor, x: Tensor, y: Tensor, width: int) -> Tensor:
    """[B, C, H*W] at whole pixels [B, h, w], by a flat gather."""
    batch, channels, _ = flat.shape
    index = (y * width + x).long().reshape(batch, 1, -1).expand(-1, channels, -1)
    return flat.gather(2, index).reshape(batch, channels, *x.shape[1:])


def _grid_sample(image: Tensor, grid: Tensor, aligned: bool, border: bool) -> Tensor:
    """F.grid_sample by hand: [B, C, H, W] at [B, h, w, 2]."""
    height, width = image.shape[2:]
    if aligned:
        x, y = (grid[..., 0] + 1) / 2 * (width - 1), (grid[..., 1] + 1) / 2 * (height - 1)
    else:
        x, y = ((grid[..., 0] + 1) * width - 1) / 2, ((grid[..., 1] + 1) * height - 1) / 2
    if border:
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    west, north = torch.floor(x), torch.floor(y)
    flat, total = image.flatten(2), torch.zeros(())
    for i, j in ((west, north), (west + 1, north), (west, north + 1), (west + 1, north + 1)):
        weight = (1 - (x - i).abs()) * (1 - (y - j).abs())
        if not border:
            weight = weight * ((i >= 0) & (i <= width - 1) & (j >= 0) & (j <= height - 1)).to(image.dtype)
        total = total + _at(flat, i.clamp(0, width - 1), j.clamp(0, height - 1), width) * weight.unsqueeze(1)
    return total


def linspace_grid_warp(image: Tensor, flow: Tensor) -> Tensor:
    """A grid of linspaces plus a flow in half widths, border: [B, C, H, W] and [B, 2, H, W]."""
    height, width = flow.shape[2:]
    xs = torch.linspace(-1.0, 1.0, width).view(1, 1, 1, width).expand(flow.shape[0], -1, height, -1)
    ys = torch.linspace(-1.0, 1.0, height).view(1, 1, height, 1).expand(flow.shape[0], -1, -1, width)
    moved = torch.cat([flow[:, 0:1] / ((width - 1.0) / 2.0), flow[:, 1:2] / ((height - 1.0) / 2.0)], 1)
    return _grid_sample(image, (torch.cat([xs, ys], 1) + moved).permute(0, 2, 3, 1), aligned=True, border=True)


def warp_with_ones(image: Tensor, flow: Tensor) -> Tensor:
    """Ones beside the image tell what was seen: [B, C, H, W] and [B, 2, H, W]."""
    height, width = image.shape[2:]
    xs, ys = torch.arange(width).view(1, 1, -1), torch.arange(height).view(1, -1, 1)
    grid = torch.stack([(xs + flow[:, 0]) * 2 / (width - 1) - 1, (ys + flow[:, 1]) * 2 / (height - 1) - 1], -1)
    out = _grid_sample(torch.cat([image, torch.ones_like(image[:, :1])], 1), grid, aligned=True, border=False)
    return out[:, :-1] * (out[:, -1:] > 0.999).to(out.dtype)


def _flow_warp(image: Tensor, flow: Tensor) -> Tensor:
    """[B, C, H, W] moved by [B, H, W, 2], 0 outside."""
    height, width = image.shape[2:]
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    moved = torch.stack((xs, ys), 2).to(image.dtype) + flow
    x, y = 2.0 * moved[..., 0] / max(width - 1, 1) - 1.0, 2.0 * moved[..., 1] / max(height - 1, 1) - 1.0
    return _grid_sample(image, torch.stack((x, y), 3), aligned=True, border=False)


def second_order_flow(features: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A flow is moved by a flow and added, features by the sum: [B, C, H, W], two [B, 2, H, W]."""
    composed = first + _flow_warp(second, first.permute(0, 2, 3, 1))
    return _flow_warp(features, composed.permute(0, 2, 3, 1))


def nearest_flow_warp(labels: Tensor, flow: Tensor) -> Tensor:
    """The nearest label, 0 outside: [B, C, H, W] and [B, 2, H, W]."""
    height, width = labels.shape[2:]
    x = torch.round(torch.arange(width).view(1, 1, -1) + flow[:, 0])
    y = torch.round(torch.arange(height).view(1, -1, 1) + flow[:, 1])
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    out = _at(labels.flatten(2), x.clamp(0, width - 1), y.clamp(0, height - 1), width)
    return out.masked_fill(~inside.unsqueeze(1), 0.0)


def tracked_features(video: Tensor, points: Tensor) -> Tensor:
    """Points in time and space, border: [B, C, T, H, W] at [B, P, 3] as t, x, y."""
    batch, channels, frames, height, width = video.shape
    low, part = [], []
    for k, size in enumerate((frames, width, height)):
        p = points[..., k].clamp(0, size - 1)
        low.append(p.floor())
        part.append(p - p.floor())
    total, flat = torch.zeros(()), video.reshape(batch, channels, -1)
    for corner in product((0, 1), repeat=3):
        t, x, y = (
            (p + step).clamp(max=size - 1) for p, step, size in zip(low, corner, (frames, width, height), strict=False)
        )
        index = ((t * height + y) * width + x).long()
        weight = torch.ones_like(part[0])
        for step, a in zip(corner, part, strict=True):
            weight = weight * (a if step else 1 - a)
        total = total + torch.gather(flat, 2, index[:, None].expand(-1, channels, -1)) * weight[:, None]
    return total


# Geometry


def perspective_warp(image: Tensor, matrix: Tensor) -> Tensor:
    """A normalised homography, depths near 0 taken as 1: [B, C, H, W] and [B, 3, 3]."""
    height, width = image.shape[2:]
    xs, ys = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="ij"), -1).permute(1, 0, 2).reshape(1, -1, 2)
    p = F.pad(grid, (0, 1), value=1.0) @ matrix.transpose(1, 2)
    z = p[..., 2:]
    scale = torch.where(z.abs() > 1e-8, 1.0 / (z + 1e-8), torch.ones_like(z))
    where = (p[..., :2] * scale).reshape(-1, height, width, 2)
    return _grid_sample(image, where, aligned=True, border=False)


def depth_reprojection(source: Tensor, depth: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """Pixels go to points and back, edges repeated: [B, C, H, W], [B, 1, H, W], [B, 4, 4] twice."""
    batch, _, height, width = depth.shape
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    pixels = torch.stack([xs.reshape(-1), ys.reshape(-1), torch.ones(height * width)])
    rays = intrinsics[:, :3, :3].transpose(1, 2) @ pixels
    cloud = torch.cat([depth.reshape(batch, 1, -1) * rays, torch.ones_like(depth).reshape(batch, 1, -1)], 1)
    p = torch.matmul(torch.matmul(intrinsics, pose)[:, :3, :], cloud)
    where = (p[:, :2] / (p[:, 2].abs().unsqueeze(1) + 1e-7)).view(batch, 2, height, width).permute(0, 2, 3, 1)
    where = (where / torch.tensor([width - 1.0, height - 1.0]) - 0.5) * 2
    return _grid_sample(source, where, aligned=False, border=True)


def homography_sweep(features: Tensor, projection: Tensor, depths: Tensor) -> Tensor:
    """All planes of a volume in one read, 0 outside: [B, C, H, W], [B, 3, 4] and [B, D] -> [B, C, D, H, W]."""
    batch, channels, height, width = features.shape
    count = depths.shape[1]
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    rays = torch.stack((xs.reshape(-1), ys.reshape(-1), torch.ones(height * width))).unsqueeze(0).repeat(batch, 1, 1)
    turned = torch.matmul(projection[:, :, :3], rays)
    p = turned.unsqueeze(2) * depths.view(batch, 1, count, 1) + projection[:, :, 3].view(batch, 3, 1, 1)
    where = p[:, :2] / p[:, 2:3].clamp(min=1e-3)
    x, y = where[:, 0] / ((width - 1) / 2) - 1, where[:, 1] / ((height - 1) / 2) - 1
    grid = torch.stack((x, y), 3).view(batch, count * height, width, 2)
    return _grid_sample(features, grid, aligned=True, border=False).view(batch, channels, count, height, width)


def disparity_lookup(volume: Tensor, centres: Tensor) -> Tensor:
    """A row of matches, five places a pixel and two levels, 0 outside: [N, 1, W] at [N, 1] -> [N, 10]."""
    out, steps = [], torch.linspace(-2, 2, 5).view(1, -1)
    for level in range(2):
        x = centres / 2**level + steps
        x0 = torch.floor(x)
        part, last, row = x - x0, volume.shape[-1] - 1, volume[:, 0]
        taps = []
        for i in (x0, x0 + 1):
            value = torch.gather(row, 1, i.clamp(0, last).to(torch.int64))
            taps.append(torch.where((i < 0) | (i > last), torch.zeros_like(value), value))
        out.append(taps[0] + part * (taps[1] - taps[0]))
        volume = F.avg_pool1d(volume, 2, 2)
    return torch.cat(out, 1)


def disparity_candidates(right: Tensor, candidates: Tensor) -> Tensor:
    """Features at several disparities a pixel: [B, C, H, W] and [B, D, H, W] -> [B, C, D, H, W]."""
    _batch, channels, _height, width = right.shape
    count = candidates.shape[1]
    x = torch.arange(width).view(1, 1, 1, -1) - candidates
    low = torch.floor(x)
    part = (x - low).unsqueeze(1)
    wide = right.unsqueeze(2).expand(-1, -1, count, -1, -1)
    a, b = (
        torch.gather(wide, 4, i.clamp(0, width - 1).long().unsqueeze(1).expand(-1, channels, -1, -1, -1))
        for i in (low, low + 1)
    )
    seen = ((x >= 0) & (x <= width - 1)).unsqueeze(1).to(right.dtype)
    return torch.lerp(a, b, part) * seen


def voxels_from_camera(features: Tensor, points: Tensor, camera: Tensor) -> Tensor:
    """Voxels take a camera's features, and not from behind it: [C, H, W], [Z, Y, X, 3] and [3, 4]."""
    height, width = features.shape[1:]
    p = points @ camera[:, :3].t() + camera[:, 3]
    z = p[..., 2]
    x, y = p[..., 0] / z.clamp(min=1e-4), p[..., 1] / z.clamp(min=1e-4)
    x0, y0 = x.floor(), y.floor()
    rows, total = features.permute(1, 2, 0).reshape(height * width, -1), torch.zeros(())
    for i, j in product((x0, x0 + 1), (y0, y0 + 1)):
        weight = (1 - (x - i).abs()) * (1 - (y - j).abs())
        valid = ((i >= 0) * (i < width) * (j >= 0) * (j < height)).float()
        index = (j.clamp(0, height - 1) * width + i.clamp(0, width - 1)).long()
        total = total + rows.index_select(0, index.reshape(-1)).view(*x.shape, -1) * (weight * valid)[..., None]
    return total * (z > 1e-4).float()[..., None]


def ground_plane(image: Tensor, to_camera: Tensor) -> Tensor:
    """A bird's view of 5x7 cells of the ground: [H, W, C] and [3, 3] -> [5, 7, C]."""
    height, width, _ = image.shape
    ahead, aside = torch.meshgrid(torch.linspace(1, 4, 5), torch.linspace(-1, 1, 7), indexing="ij")
    p = torch.stack([aside, torch.ones_like(aside), ahead], -1).reshape(-1, 3) @ to_camera.t()
    x, y = (p[:, :2] / p[:, 2:]).reshape(5, 7, 2).unbind(-1)
    x0, y0 = torch.floor(x).to(torch.int32), torch.floor(y).to(torch.int32)
    u, v = (x - x0)[..., None], (y - y0)[..., None]
    x1, y1 = x0 + 1, y0 + 1
    seen = ((x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1))[..., None]
    x0, x1, y0, y1 = (t.clamp(0, n - 1).long() for t, n in ((x0, width), (x1, width), (y0, height), (y1, height)))
    upper = image[y0, x0] * (1 - u) + image[y0, x1] * u
    lower = image[y1, x0] * (1 - u) + image[y1, x1] * u
    return torch.where(seen, upper * (1 - v) + lower * v, torch.zeros(()))


def rounded_projection(features: Tensor, points: Tensor, camera: Tensor) -> Tensor:
    """The nearest pixel of each voxel in front of the camera: [B, C, H, W], [V, 3] and [B, 3, 4] -> [B, C, V]."""
    _, channels, height, width = features.shape
    p = torch.matmul(camera, F.pad(points, (0, 1), value=1.0).t())
    x, y, z = (p[:, 0] / p[:, 2]).round().long(), (p[:, 1] / p[:, 2]).round().long(), p[:, 2]
    valid = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (z > 0)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1))[:, None].expand(-1, channels, -1)
    return torch.where(valid[:, None], features.flatten(2).gather(2, index), torch.zeros(()))


# Volumes and planes


def stacked_planes(planes: Tensor, points: Tensor) -> Tensor:
    """Three planes an item lie in the batch, projections by matrices: [B, 3, C, H, W] at [B, P, 3] -> [B, 3, P, C]."""
    batch, count, channels, height, width = planes.shape
    axes = torch.tensor([[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0]]]).float()
    where = torch.einsum("bpi,nki->bnpk", points, axes).reshape(batch * count, 1, -1, 2)
    out = _grid_sample(planes.reshape(batch * count, channels, height, width), where, aligned=False, border=False)
    return out.permute(0, 3, 2, 1).reshape(batch, count, -1, channels)


def density_grid(grid: Tensor, points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Densities within a box of the world, 0 outside: [X, Y, Z] at [P, 3]."""
    size = torch.tensor(grid.shape)
    p = (points - low) / (high - low) * (size - 1)
    base = torch.floor(p)
    part, flat, total = p - base, grid.reshape(-1), torch.zeros(())
    for corner in product((0, 1), repeat=3):
        at = base + torch.tensor(corner)
        weight = torch.where(torch.tensor(corner) == 1, part, 1 - part).prod(-1)
        inside = ((at >= 0) & (at < size)).all(-1)
        i, j, k = torch.minimum(at.clamp(min=0), size - 1.0).long().unbind(-1)
        total = total + flat[(i * grid.shape[1] + j) * grid.shape[2] + k] * weight * inside
    return total


def plane_times_line(plane: Tensor, line: Tensor, points: Tensor) -> Tensor:
    """A plane at x, y times a line at z: [C, H, W], [C, D] at [P, 3] in -1 to 1."""
    height, width, depth = *plane.shape[1:], line.shape[1]
    half = (points + 1) / 2
    x, y, z = half[:, 0] * (width - 1), half[:, 1] * (height - 1), half[:, 2] * (depth - 1)
    x, y, z = x.clamp(0, width - 1), y.clamp(0, height - 1), z.clamp(0, depth - 1)
    x0, y0, z0 = x.long(), y.long(), z.long()
    x1, y1, z1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1), (z0 + 1).clamp(max=depth - 1)
    upper = torch.lerp(plane[:, y0, x0], plane[:, y0, x1], x - x0)
    lower = torch.lerp(plane[:, y1, x0], plane[:, y1, x1], x - x0)
    return torch.lerp(upper, lower, y - y0) * torch.lerp(line[:, z0], line[:, z1], z - z0)


def tetrahedral_table(table: Tensor, colours: Tensor) -> Tensor:
    """A colour table by tetrahedra, which is not trilinear: [D, D, D, 3] at [P, 3] in 0 to 1."""
    last = table.shape[0] - 1
    p = colours.clamp(0, 1) * last
    low = p.floor().clamp(max=last - 1)
    (r, g, b), (i, j, k) = (p - low).unbind(-1), low.long().unbind(-1)
    black, white = table[i, j, k], table[i + 1, j + 1, k + 1]
    red, green, blue = table[i + 1, j, k], table[i, j + 1, k], table[i, j, k + 1]
    yellow, pink, cyan = table[i + 1, j + 1, k], table[i + 1, j, k + 1], table[i, j + 1, k + 1]
    r, g, b = r[:, None], g[:, None], b[:, None]
    rgb = black + r * (red - black) + g * (yellow - red) + b * (white - yellow)
    rbg = black + r * (red - black) + b * (pink - red) + g * (white - pink)
    brg = black + b * (blue - black) + r * (pink - blue) + g * (white - pink)
    grb = black + g * (green - black) + r * (yellow - green) + b * (white - yellow)
    gbr = black + g * (green - black) + b * (cyan - green) + r * (white - cyan)
    bgr = black + b * (blue - black) + g * (cyan - blue) + r * (white - cyan)
    over = torch.where(g > b, rgb, torch.where(r > b, rbg, brg))
    under = torch.where(b > g, bgr, torch.where(b > r, gbr, grb))
    return torch.where(r > g, over, under)


def devoxelized(voxels: Tensor, points: Tensor) -> Tensor:
    """The upper corner is the lower one where nothing is left over: [B, C, R, R, R] at [B, 3, P] in 0 to R-1."""
    batch, channels, size = voxels.shape[:3]
    p = points.clamp(0, size - 1)
    low = torch.floor(p)
    part = p - low
    step = (part > 0).to(p.dtype)
    flat, total = voxels.reshape(batch, channels, -1), torch.zeros(())
    for corner in product((0, 1), repeat=3):
        at = [low[:, k] + step[:, k] * c for k, c in enumerate(corner)]
        index = (at[0] * size * size + at[1] * size + at[2]).long()
        weight = torch.ones_like(part[:, 0])
        for k, c in enumerate(corner):
            weight = weight * (part[:, k] if c else 1 - part[:, k])
        total = total + weight[:, None] * flat.gather(2, index[:, None].expand(-1, channels, -1))
    return total


def levels_of_features(coarse: Tensor, fine: Tensor, points: Tensor) -> Tensor:
    """Two levels as tables, four corners in one lookup: [36, F], [121, F] at [P, 2] in 0 to 1 -> [P, 2F]."""
    corners, out = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), []
    for table, size in ((coarse, 6), (fine, 11)):
        p = points.clamp(0, 1) * (size - 1)
        low = p.floor().clamp(max=size - 2)
        at = low[:, None].long() + corners
        part = (p - low)[:, None]
        weight = (corners * part + (1 - corners) * (1 - part)).prod(-1)
        out.append((F.embedding(at[..., 1] * size + at[..., 0], table) * weight[..., None]).sum(1))
    return torch.cat(out, 1)


def sliced_grid(grid: Tensor, guide: Tensor) -> Tensor:
    """A bilateral grid at a guide, tents as weights: [h, w, D, C] and [H, W] -> [H, W, C]."""
    rows, columns, depth, _ = grid.shape
    height, width = guide.shape
    gy = (torch.arange(height) + 0.5) * rows / height
    gx = (torch.arange(width) + 0.5) * columns / width
    gy, gx, gz = gy[:, None].expand(height, width), gx[None].expand(height, width), guide * depth
    base = [torch.floor(g - 0.5) for g in (gy, gx, gz)]
    total = torch.zeros(())
    for dy, dx, dz in product((0, 1), repeat=3):
        at = base[0] + dy, base[1] + dx, base[2] + dz
        weight = torch.ones(())
        for g, i in zip((gy, gx, gz), at, strict=True):
            weight = weight * torch.maximum(torch.tensor(1.0) - (g - (i + 0.5)).abs(), torch.tensor(0.0))
        j, i, k = (p.clamp(0, n - 1).long() for p, n in zip(at, (rows, columns, depth), strict=True))
        total = total + grid[j, i, k] * weight[..., None]
    return total


# Deformable layers


def aggregated_points(features: Tensor, offsets: Tensor, masks: Tensor) -> Tensor:
    """Nine moved points a pixel, 0 outside, weighed and summed: [B, H, W, C], [B, H, W, 18], [B, H, W, 9]."""
    batch, height, width, channels = features.shape
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    steps = torch.stack(torch.meshgrid(*[torch.arange(-1.0, 2.0)] * 2, indexing="ij"), -1).reshape(1, 1, 1, 9, 2)
    place = torch.stack([xs, ys], -1).view(1, height, width, 1, 2) + steps + offsets.view(batch, height, width, 9, 2)
    grid = place / torch.tensor([width, height]) * 2 - 1
    image = features.permute(0, 3, 1, 2)
    samples = _grid_sample(image, grid.view(batch, height * width, 9, 2), aligned=False, border=False)
    weights = masks.view(batch, 1, height * width, 9)
    return (samples * weights).sum(-1).view(batch, channels, height, width).permute(0, 2, 3, 1)


def _whole(flat: Tensor, y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows [B*C, H*W] at whole pixels [B*C, P] as integers; what is outside is read as the first and set to 0."""
    outside = (y >= size[0]) | (y < 0) | (x >= size[1]) | (x < 0)
    index = torch.where(outside, torch.zeros_like(y), y * size[1] + x)
    return torch.where(outside, torch.zeros(()), flat.gather(1, index))


def modulated_convolution(image: Tensor, offsets: Tensor, masks: Tensor, weight: Tensor) -> Tensor:
    """A deformable convolution of 3x3, pad 1: [B, C, H, W], [B, 18, H, W], [B, 9, H, W] and [O, C, 3, 3]."""
    batch, channels, height, width = image.shape
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ky, kx = torch.meshgrid(torch.arange(3) - 1, torch.arange(3) - 1, indexing="ij")
    moved = offsets.view(batch, 9, 2, height, width)
    y = moved[:, :, 0] + (ys + ky.reshape(9, 1, 1))
    x = moved[:, :, 1] + (xs + kx.reshape(9, 1, 1))
    rows = image.reshape(batch * channels, -1)

    def each(p: Tensor) -> Tensor:
        return p.reshape(batch, 1, -1).repeat(1, channels, 1).view(batch * channels, -1)

    x, y = each(x), each(y)
    y0, x0 = torch.floor(y).long(), torch.floor(x).long()
    u, v, size = x - x0, y - y0, (height, width)
    upper = _whole(rows, y0, x0, size) + u * (_whole(rows, y0, x0 + 1, size) - _whole(rows, y0, x0, size))
    lower = _whole(rows, y0 + 1, x0, size) + u * (_whole(rows, y0 + 1, x0 + 1, size) - _whole(rows, y0 + 1, x0, size))
    samples = (upper + v * (lower - upper)).view(batch, channels, 9, height, width) * masks.unsqueeze(1)
    return torch.einsum("ock,bckhw->bohw", weight.flatten(2), samples)


def deformed_keys(features: Tensor, offsets: Tensor) -> Tensor:
    """Keys at moved reference points, two groups of channels: [B, C, H, W] and [B*2, 2, h, w]."""
    batch, channels, height, width = features.shape
    rows, columns = offsets.shape[2:]
    span = torch.tensor([1.0 / (rows - 1.0), 1.0 / (columns - 1.0)]).view(1, 2, 1, 1)
    moved = (offsets.tanh() * span * 2.0).permute(0, 2, 3, 1)
    ys = (torch.arange(rows) + 0.5) / (rows - 1.0) * 2.0 - 1.0
    xs = (torch.arange(columns) + 0.5) / (columns - 1.0) * 2.0 - 1.0
    reference = torch.stack(torch.meshgrid(ys, xs, indexing="ij"), -1)
    place = moved + reference
    groups = features.reshape(batch * 2, channels // 2, height, width)
    out = _grid_sample(groups, place[..., (1, 0)], aligned=True, border=False)
    return out.reshape(batch, channels, 1, rows * columns)


def dynamic_upsampler(features: Tensor, offsets: Tensor) -> Tensor:
    """Twice the size, each new pixel where a network says: [B, C, H, W] and [B, 8, H, W]."""
    batch, _channels, height, width = features.shape
    half = torch.tensor([-0.25, 0.25])
    start = torch.stack(torch.meshgrid(half, half, indexing="ij")).transpose(1, 2).reshape(1, 8, 1, 1)
    moved = (offsets * 0.25 + start).view(batch, 2, 4, height, width)
    ys, xs = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="ij")).transpose(1, 2).unsqueeze(1).unsqueeze(0)
    where = 2 * (grid + moved) / torch.tensor([width, height]).view(1, 2, 1, 1, 1) - 1
    where = F.pixel_shuffle(where.view(batch, -1, height, width), 2).permute(0, 2, 3, 1)
    return _grid_sample(features, where, aligned=False, border=True)


# Ports of the spatial transformer


def between_checks(data: Tensor, grid: Tensor) -> Tensor:
    """Each corner is read only between the ends: [B, C, H, W] at [B, 2, h, w] in -1 to 1."""
    _, _, height, width = data.shape
    x, y = (grid[:, 0] + 1) * (width - 1) / 2, (grid[:, 1] + 1) * (height - 1) / 2
    left, top = torch.floor(x).int(), torch.floor(y).int()
    wx, wy = 1.0 - (x - left), 1.0 - (y - top)
    flat = data.flatten(2)

    def between(p: Tensor, low: int, high: int) -> Tensor:
        return torch.logical_and(p >= low, p <= high)

    def value(j: Tensor, i: Tensor) -> Tensor:
        seen = torch.logical_and(between(i, 0, width - 1), between(j, 0, height - 1)).unsqueeze(1)
        read = _at(flat, i.clamp(0, width - 1), j.clamp(0, height - 1), width)
        return torch.where(seen, read, torch.zeros_like(read))

    a, b, c, d = value(top, left), value(top, left + 1), value(top + 1, left), value(top + 1, left + 1)
    wx, wy = wx.unsqueeze(1), wy.unsqueeze(1)
    return a * wy * wx + b * wy * (1.0 - wx) + c * (1.0 - wy) * wx + d * (1.0 - wy) * (1.0 - wx)


def clipped_after_weights(image: Tensor, theta: Tensor) -> Tensor:
    """Weights of corners as they are, indices clipped behind them: [B, H, W, C] and [B, 6]."""
    batch, height, width, channels = image.shape
    ys = torch.linspace(-1.0, 1.0, height).unsqueeze(1) @ torch.ones(1, width)
    xs = torch.ones(height, 1) @ torch.linspace(-1.0, 1.0, width).unsqueeze(0)
    grid = torch.cat([xs.reshape(1, -1), ys.reshape(1, -1), torch.ones(1, height * width)])
    where = torch.tensordot(theta.view(-1, 2, 3), grid, dims=([2], [0]))
    x, y = where[:, 0].reshape(-1), where[:, 1].reshape(-1)
    x, y = (x + 1) / 2 * (width - 1), (y + 1) / 2 * (height - 1)
    x0, y0 = torch.floor(x), torch.floor(y)
    x1, y1 = x0 + 1, y0 + 1
    base = torch.arange(batch).repeat_interleave(height * width) * height * width
    rows = image.reshape(-1, channels)
    xi = [i.clamp(0, width - 1).long() for i in (x0, x1)]
    yi = [j.clamp(0, height - 1).long() for j in (y0, y1)]
    a, b, c, d = (rows[base + j * width + i] for i, j in product(xi, yi))
    wa, wb = ((x1 - x) * (y1 - y)).unsqueeze(1), ((x1 - x) * (y - y0)).unsqueeze(1)
    wc, wd = ((x - x0) * (y1 - y)).unsqueeze(1), ((x - x0) * (y - y0)).unsqueeze(1)
    return torch.stack([wa * a, wb * b, wc * c, wd * d]).sum(0).view(batch, height, width, channels)


def distances_to_neighbours(image: Tensor, grid: Tensor) -> Tensor:
    """Four distances, four neighbours, advanced indices: [B, C, H, W] at [B, h, w, 2] in -1 to 1."""
    batch, _, height, width = image.shape
    x, y = 0.5 * (grid[..., 0] + 1) * (width - 1), 0.5 * (grid[..., 1] + 1) * (height - 1)
    west, north = torch.floor(x), torch.floor(y)
    east, south = west + 1, north + 1
    to_west, to_east, to_north, to_south = x - west, east - x, y - north, south - y
    item = torch.arange(batch).view(-1, 1, 1)
    image = image.permute(0, 2, 3, 1)

    def pixel(i: Tensor, j: Tensor) -> Tensor:
        seen = (i > -1) & (i < width) & (j > -1) & (j < height)
        value = image[item, torch.clip(j, 0, height - 1).long(), torch.clip(i, 0, width - 1).long()]
        return value * seen.unsqueeze(-1).float()

    out = (
        pixel(west, north) * (to_east * to_south).unsqueeze(-1)
        + pixel(east, north) * (to_west * to_south).unsqueeze(-1)
        + pixel(west, south) * (to_east * to_north).unsqueeze(-1)
        + pixel(east, south) * (to_west * to_north).unsqueeze(-1)
    )
    return out.permute(0, 3, 1, 2)


def spline_rectification(image: Tensor, control: Tensor) -> Tensor:
    """A line of text is straightened by a thin-plate spline, border: [B, C, H, W] and [B, 4, 2]."""
    batch, channels, height, width = image.shape
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 6), indexing="ij")
    target = torch.stack([xs, ys], -1).view(-1, 1, 2)
    fixed = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    distance = ((target - fixed) ** 2).sum(-1)
    basis = torch.cat([torch.ones(24, 1), target[:, 0], distance * torch.log(distance + 1e-6)], 1)
    where = basis @ torch.cat([control.mean(1, keepdim=True), control[:, :2], control], 1)
    x, y = ((where[..., 0] + 1) / 2) * (width - 1), ((where[..., 1] + 1) / 2) * (height - 1)
    x0, y0 = torch.floor(x).long(), torch.floor(y).long()
    x1, y1 = x0 + 1, y0 + 1
    weights = (x1 - x) * (y1 - y), (x1 - x) * (y - y0), (x - x0) * (y1 - y), (x - x0) * (y - y0)
    flat, total = image.view(batch, channels, -1), torch.zeros(())
    for (i, j), weight in zip(product((x0, x1), (y0, y1)), weights, strict=True):
        i, j = torch.clamp(i, 0, width - 1), torch.clamp(j, 0, height - 1)
        index = (i + j * width).unsqueeze(1).expand(-1, channels, -1)
        total = total + torch.gather(flat, 2, index) * weight.unsqueeze(1)
    return total.reshape(batch, channels, 4, 6)


# Boxes and keypoints


def soft_argmax_features(heat: Tensor, features: Tensor) -> Tensor:
    """Features where a map has its mean: [B, K, H, W] and [B, C, H, W] -> [B, C, K]."""
    batch, count, height, width = heat.shape
    chance = heat.flatten(2).softmax(-1).view(batch, count, height, width)
    x = (chance.sum(2) * torch.arange(width)).sum(-1)
    y = (chance.sum(3) * torch.arange(height)).sum(-1)
    x0, y0 = x.floor().clamp(0, width - 2), y.floor().clamp(0, height - 2)
    u, v = (x - x0).unsqueeze(1), (y - y0).unsqueeze(1)
    flat = features.flatten(2)
    a, b = _at(flat, x0, y0, width), _at(flat, x0 + 1, y0, width)
    c, d = _at(flat, x0, y0 + 1, width), _at(flat, x0 + 1, y0 + 1, width)
    return a * (1 - u) * (1 - v) + b * u * (1 - v) + c * (1 - u) * v + d * u * v


def boxes_of_items(image: Tensor, boxes: Tensor, items: Tensor) -> Tensor:
    """Crops of 4x3 of the items that data name, 7 outside: [B, H, W, C], [K, 4] in 0 to 1 and [K]."""
    _, height, width, _ = image.shape
    y1, x1, y2, x2 = (boxes[:, k : k + 1] for k in range(4))
    ys = y1 * (height - 1) + torch.arange(4) * ((y2 - y1) * (height - 1) / 3)
    xs = x1 * (width - 1) + torch.arange(3) * ((x2 - x1) * (width - 1) / 2)
    top, left = torch.floor(ys), torch.floor(xs)
    v, u = (ys - top)[:, :, None, None], (xs - left)[:, None, :, None]
    item = items[:, None, None]
    j = [p.clamp(0, height - 1).long()[:, :, None] for p in (top, top + 1)]
    i = [p.clamp(0, width - 1).long()[:, None, :] for p in (left, left + 1)]
    upper = image[item, j[0], i[0]] + u * (image[item, j[0], i[1]] - image[item, j[0], i[0]])
    lower = image[item, j[1], i[0]] + u * (image[item, j[1], i[1]] - image[item, j[1], i[0]])
    seen = ((ys >= 0) & (ys <= height - 1))[:, :, None] & ((xs >= 0) & (xs <= width - 1))[:, None, :]
    return torch.where(seen[..., None], upper + v * (lower - upper), torch.tensor(7.0))


def precise_pooling(features: Tensor, boxes: Tensor) -> Tensor:
    """The integral of the interpolated image over a box, which is no sampler: [C, H, W] and [K, 4] -> [K, C]."""
    height, width = features.shape[1:]

    def integral(p: Tensor, size: int) -> Tensor:
        d = (p[:, None] - torch.arange(size)).clamp(-1, 1)
        return torch.where(d < 0, 0.5 * (d + 1) ** 2, 1 - 0.5 * (1 - d) ** 2)

    wx = integral(boxes[:, 2], width) - integral(boxes[:, 0], width)
    wy = integral(boxes[:, 3], height) - integral(boxes[:, 1], height)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.einsum("chw,kh,kw->kc", features, wy, wx) / area[:, None].clamp(min=1e-3)


def nearest_ensemble(features: Tensor, points: Tensor) -> Tensor:
    """Four shifted nearest reads, each weighed by the area across from it: [C, H, W] at [P, 2] in -1 to 1."""
    height, width = features.shape[1:]
    out, areas = [], []
    for sy, sx in product((-1, 1), repeat=2):
        x = (points[:, 0] + sx / width + 1e-6).clamp(-1 + 1e-6, 1 - 1e-6)
        y = (points[:, 1] + sy / height + 1e-6).clamp(-1 + 1e-6, 1 - 1e-6)
        i = torch.round(((x + 1) * width - 1) / 2).clamp(0, width - 1)
        j = torch.round(((y + 1) * height - 1) / 2).clamp(0, height - 1)
        dx = (points[:, 0] - ((i + 0.5) / width * 2 - 1)) * width
        dy = (points[:, 1] - ((j + 0.5) / height * 2 - 1)) * height
        out.append(torch.tanh(features[:, j.long(), i.long()]))
        areas.append((dx * dy).abs() + 1e-9)
    whole = areas[0] + areas[1] + areas[2] + areas[3]
    return sum(value * (area / whole) for value, area in zip(out, reversed(areas), strict=True))  # type: ignore[return-value]


def quarter_offset(heat: Tensor) -> Tensor:
    """A peak moves a quarter towards its higher neighbour, which is no sampler: [B, K, H, W] -> [B, K, 2]."""
    _batch, _count, height, width = heat.shape
    flat = heat.flatten(2)
    peak = flat.argmax(-1)
    x, y = (peak % width).clamp(1, width - 2), torch.div(peak, width, rounding_mode="floor").clamp(1, height - 2)

    def at(i: Tensor, j: Tensor) -> Tensor:
        return flat.gather(2, (j * width + i)[..., None])[..., 0]

    dx, dy = at(x + 1, y) - at(x - 1, y), at(x, y + 1) - at(x, y - 1)
    return torch.stack([x + 0.25 * torch.sign(dx), y + 0.25 * torch.sign(dy)], -1)


def three_nearest_points(features: Tensor, known: Tensor, points: Tensor) -> Tensor:
    """Weights from distances to the three nearest points, which is no sampler: [B, C, M], [B, M, 3], [B, P, 3]."""
    channels = features.shape[1]
    distance = ((points[:, :, None] - known[:, None]) ** 2).sum(-1)
    near, index = torch.topk(distance, 3, dim=-1, largest=False)
    weight = 1.0 / (near + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    total = torch.zeros(())
    for k in range(3):
        total = total + features.gather(2, index[:, None, :, k].expand(-1, channels, -1)) * weight[:, None, :, k]
    return total


# Audio and curves


def stretched_spectrum(spectrum: Tensor, times: Tensor) -> Tensor:
    """Two frames of silence at the end, fractions by a remainder: [F, T] at [S], not negative."""
    frames = spectrum.shape[-1]
    wide = F.pad(spectrum, (0, 2))
    t = times.clamp(0, frames)
    part, index = t % 1.0, t.long()
    return part * wide.index_select(-1, index + 1) + (1 - part) * wide.index_select(-1, index)


def sinc_resampled(signal: Tensor, times: Tensor) -> Tensor:
    """Windowed sinc over six samples, which is no kernel of these: [B, T] at [S]."""
    steps = signal.shape[1]
    low = torch.floor(times)
    total = torch.zeros(())
    for k in range(-2, 4):
        d = times - (low + k)
        window = torch.cos(torch.pi * d / 6) ** 2
        weight = torch.where(d == 0, torch.ones_like(d), torch.sin(torch.pi * d) / (torch.pi * d)) * window
        total = total + signal[:, (low + k).clamp(0, steps - 1).long()] * weight
    return total


def between_knots(knots: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """np.interp by hand, knots that data place, which is no regular grid: [N], [N] at [P]."""
    high = (x[:, None] > knots).sum(1).clamp(1, knots.shape[0] - 1)
    x0, x1, y0, y1 = knots[high - 1], knots[high], values[high - 1], values[high]
    return y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0, 1)


def wave_tables(tables: Tensor, phases: Tensor) -> Tensor:
    """A table a voice at a phase in turns: [B, L] at [B, T]."""
    length = tables.shape[1]
    index = (phases - torch.floor(phases)) * length
    low = torch.floor(index)
    high = (low + 1) % length
    part = index - low
    low = low % length
    return tables.gather(1, low.long()) * (1 - part) + tables.gather(1, high.long()) * part


def channel_curves(curves: Tensor, image: Tensor) -> Tensor:
    """A curve of 33 knots a channel: [3, 33] at [B, 3, H, W] in 0 to 1."""
    _batch, channels, _height, _width = image.shape
    p = image.clamp(0, 1) * 32
    low = p.floor().clamp(0, 31)
    index = (low.long() + (torch.arange(channels) * 33).view(1, -1, 1, 1)).reshape(-1)
    flat = curves.reshape(-1)
    a, b = flat[index].view_as(image), flat[index + 1].view_as(image)
    return a + (p - low) * (b - a)


# Optics


def undistorted_lens(image: Tensor, intrinsics: Tensor, lens: Tensor) -> Tensor:
    """Radial and tangential distortion, 0 outside: [C, H, W], [4] as fx, fy, cx, cy and [4] as k1, k2, p1, p2."""
    height, width = image.shape[1:]
    fx, fy, cx, cy = intrinsics.unbind()
    k1, k2, p1, p2 = lens.unbind()
    x = (torch.arange(width).float()[None] - cx) / fx
    y = (torch.arange(height).float()[:, None] - cy) / fy
    r = x * x + y * y
    radial = 1 + k1 * r + k2 * r * r
    map_x = fx * (x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x)) + cx
    map_y = fy * (y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y) + cy
    wide = F.pad(image, (1, 1, 1, 1))
    x, y = (map_x + 1).clamp(0, width + 1), (map_y + 1).clamp(0, height + 1)
    x0, y0 = x.floor().clamp(max=width).long(), y.floor().clamp(max=height).long()
    u, v = x - x0, y - y0
    upper = wide[:, y0, x0] * (1 - u) + wide[:, y0, x0 + 1] * u
    lower = wide[:, y0 + 1, x0] * (1 - u) + wide[:, y0 + 1, x0 + 1] * u
    return upper * (1 - v) + lower * v


def fisheye_view(image: Tensor, rays: Tensor, focal: Tensor) -> Tensor:
    """An equidistant lens, black outside its circle: [H, W, C], [h, w, 3] and [1]."""
    height, width, _ = image.shape
    across = torch.sqrt(rays[..., 0] ** 2 + rays[..., 1] ** 2 + 1e-9)
    theta = torch.atan2(across, rays[..., 2])
    x = (width - 1) / 2 + focal * theta * rays[..., 0] / across
    y = (height - 1) / 2 + focal * theta * rays[..., 1] / across
    seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1) & (theta < 1.6)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    i, j = x.long(), y.long()
    right, down = torch.minimum(i + 1, torch.tensor(width - 1)), torch.minimum(j + 1, torch.tensor(height - 1))
    u, v = (x - i)[..., None], (y - j)[..., None]
    value = image[j, i] * (1 - u) * (1 - v) + image[j, right] * u * (1 - v)
    value = value + image[down, i] * (1 - u) * v + image[down, right] * u * v
    return torch.where(seen[..., None], value, torch.zeros_like(value))


def panorama_seam(image: Tensor, where: Tensor) -> Tensor:
    """The column behind the last is the first: [C, H, W] at [h, w, 2] as turns and heights in 0 to 1."""
    height, width = image.shape[1:]
    x = (where[..., 0] - torch.floor(where[..., 0])) * width
    y = where[..., 1].clamp(0, 1) * (height - 1)
    x0, y0 = x.floor().long().clamp(max=width - 1), y.floor().long()
    x1 = torch.where(x0 + 1 == width, torch.zeros_like(x0), x0 + 1)
    y1 = torch.minimum(y0 + 1, torch.full_like(y0, height - 1))
    u, v = x - x0, y - y0
    upper = image[:, y0, x0] * (1 - u) + image[:, y0, x1] * u
    lower = image[:, y1, x0] * (1 - u) + image[:, y1, x1] * u
    return upper * (1 - v) + lower * v


def weather_fields(fields: Tensor, departure: Tensor) -> Tensor:
    """Round the globe along longitudes, clamped at the poles: [B, C, lat, lon] at [B, P, 2] as lat, lon in cells."""
    batch, channels, rows, columns = fields.shape
    lat, lon = departure[..., 0].clamp(0, rows - 1), torch.remainder(departure[..., 1], columns)
    south, west = torch.floor(lat), torch.floor(lon)
    v, u = (lat - south)[:, None], (lon - west)[:, None]
    north, east = (south + 1).clamp(max=rows - 1), torch.remainder(west + 1, columns)
    flat = fields.flatten(2)

    def at(j: Tensor, i: Tensor) -> Tensor:
        return torch.gather(flat, 2, (j * columns + i).long()[:, None].expand(batch, channels, -1))

    return (at(south, west) * (1 - u) + at(south, east) * u) * (1 - v) + (
        at(north, west) * (1 - u) + at(north, east) * u
    ) * v


def corner_read_twice(image: Tensor, grid: Tensor) -> Tensor:
    """A mistake of public code: the lower right pixel is the upper right one, so it is not bilinear: [B, C, H, W]."""
    height, width = image.shape[2:]
    low = torch.floor(grid).long()
    high = low + 1
    v, u = (grid - low).unbind(1)
    ya, xa, yb, xb = low[:, 0] % height, low[:, 1] % width, high[:, 0] % height, high[:, 1] % width
    out = []
    for k in range(image.shape[0]):
        one = image[k]
        p00, p10, p01, p11 = one[:, ya[k], xa[k]], one[:, yb[k], xa[k]], one[:, ya[k], xb[k]], one[:, ya[k], xb[k]]
        left, right = p00 * (1 - u[k]) + p01 * u[k], p10 * (1 - u[k]) + p11 * u[k]
        out.append(left * (1 - v[k]) + right * v[k])
    return torch.stack(out)


def periodic_wind(wind: Tensor, place: Tensor) -> Tensor:
    """A periodic field, the last row and column those before the first: [2, H, W] at [P, 2] in periods -> [P, 2]."""
    height, width = wind.shape[1:]
    place = place - torch.floor(place)
    x, y = place[..., 0] * (width - 1), place[..., 1] * (height - 1)
    x0, y0 = torch.floor(x).long(), torch.floor(y).long()
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    u, v = (x - x0.to(x.dtype)).clamp(0.0, 1.0), (y - y0.to(y.dtype)).clamp(0.0, 1.0)
    upper = wind[:, y0, x0] * (1 - u) + wind[:, y0, x1] * u
    lower = wind[:, y1, x0] * (1 - u) + wind[:, y1, x1] * u
    return (upper * (1 - v) + lower * v).t()


def remap_in_32nds(image: Tensor, map_x: Tensor, map_y: Tensor) -> Tensor:
    """Coordinates in 32nds of a pixel, split by shifts and masks: [C, H, W] at two [h, w]."""
    height, width = image.shape[1:]
    sx, sy = torch.round(map_x * 32).to(torch.int32), torch.round(map_y * 32).to(torch.int32)
    x0, y0 = torch.div(sx, 32, rounding_mode="floor"), torch.div(sy, 32, rounding_mode="floor")
    u, v = (sx - x0 * 32).float() / 32, (sy - y0 * 32).float() / 32

    def tap(i: Tensor, j: Tensor) -> Tensor:
        inside = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        return image[:, j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] * inside

    upper = tap(x0, y0) * (1 - u) + tap(x0 + 1, y0) * u
    lower = tap(x0, y0 + 1) * (1 - u) + tap(x0 + 1, y0 + 1) * u
    return upper * (1 - v) + lower * v


# Tables of positions


def cubic_positions(table: Tensor, tokens: Tensor) -> Tensor:
    """A table of 5x5 positions, bicubic at 7x9, added to tokens: [25, D] and [B, 63, D]."""

    def kernel(t: Tensor) -> Tensor:
        t = t.abs()
        near = 1.25 * t**3 - 2.25 * t**2 + 1
        far = -0.75 * t**3 + 3.75 * t**2 - 6 * t + 3
        return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))

    y = (torch.arange(7) + 0.5) * 5 / 7 - 0.5
    x = (torch.arange(9) + 0.5) * 5 / 9 - 0.5
    total = torch.zeros(())
    for dy, dx in product(range(-1, 3), repeat=2):
        j, i = y.floor() + dy, x.floor() + dx
        index = (j.clamp(0, 4)[:, None] * 5 + i.clamp(0, 4)[None]).long().reshape(-1)
        weight = (kernel(y - j)[:, None] * kernel(x - i)[None]).reshape(-1, 1)
        total = total + table[index] * weight
    return tokens + total


def corner_positions(table: Tensor, tokens: Tensor) -> Tensor:
    """A table of 6x6 positions, bilinear at 5x8 from corner to corner, four lists of indices: [36, D] and [40, D]."""
    ys, xs = torch.linspace(0, 5, 5), torch.linspace(0, 5, 8)
    j, i = ys.int(), xs.int()
    down, right = (ys.int() + 1).clip(max=5), (xs.int() + 1).clip(max=5)
    v, u = ys - j, xs - i
    rows, below = j * 6, down * 6
    index = torch.stack([(a[None].T + b[None]).flatten() for a, b in product((rows, below), (i, right))]).long()
    weight = torch.stack(
        [
            ((1 - v)[None].T * (1 - u)[None]).flatten(),
            ((1 - v)[None].T * u[None]).flatten(),
            (v[None].T * (1 - u)[None]).flatten(),
            (v[None].T * u[None]).flatten(),
        ]
    )
    each = F.embedding(index, table) * weight[:, :, None]
    return tokens + each[0] + each[1] + each[2] + each[3]


_IMAGE: Axes = {1: "H", 2: "W"}
_ITEMS: Axes = {0: "B", 2: "H", 3: "W"}
_LAST: Axes = {0: "H", 1: "W"}
_BATCH: Axes = {0: "B"}
_POINTS: Axes = {0: "P"}
_BATCH_POINTS: Axes = {0: "B", 1: "P"}
n, r = torch.randn, torch.rand
CAMERA = ((5.0, 0, 2, 0.1), (0, 5, 2, 0.2), (0, 0, 1, 0.3))


def _camera(*batch: int) -> Tensor:
    return torch.tensor(CAMERA).expand(*batch, 3, 4).clone() + 0.05 * r(*batch, 3, 4)


FORMS: dict[str, tuple[Form, Callable[[], tuple[Tensor, ...]], tuple[Axes, ...]]] = {
    "aggregated_points": (
        aggregated_points,
        lambda: (n(2, 5, 6, 3), n(2, 5, 6, 18), r(2, 5, 6, 9)),
        ({0: "B", 1: "H", 2: "W"},) * 3,
    ),
    "between_checks": (between_checks, lambda: (n(2, 3, 4, 7), n(2, 2, 5, 3)), (_ITEMS, {0: "B", 2: "h", 3: "w"})),
    "between_knots": (
        between_knots,
        lambda: (torch.arange(6.0) ** 1.3, n(6), r(9) * 12 - 1),
        ({0: "N"}, {0: "N"}, _POINTS),
    ),
    "boxes_of_items": (
        boxes_of_items,
        lambda: (n(2, 7, 9, 3), r(5, 4) * 1.6 - 0.3, torch.randint(0, 2, (5,))),
        ({0: "B", 1: "H", 2: "W"}, {0: "K"}, {0: "K"}),
    ),
    "channel_curves": (channel_curves, lambda: (n(3, 33), r(2, 3, 4, 5)), ({}, _ITEMS)),
    "clipped_after_weights": (
        clipped_after_weights,
        lambda: (n(2, 5, 7, 3), n(2, 6)),
        ({0: "B", 1: "H", 2: "W"}, _BATCH),
    ),
    "corner_positions": (corner_positions, lambda: (n(36, 8), n(40, 8)), ({1: "D"}, {1: "D"})),
    "corner_read_twice": (
        corner_read_twice,
        lambda: (n(2, 3, 6, 7), n(2, 2, 4, 5) * 9),
        ({2: "H", 3: "W"}, {2: "h", 3: "w"}),
    ),
    "cubic_positions": (cubic_positions, lambda: (n(25, 8), n(2, 63, 8)), ({}, _BATCH)),
    "deformed_keys": (deformed_keys, lambda: (n(2, 4, 6, 7), n(4, 2, 3, 5)), ({2: "H", 3: "W"}, {2: "h", 3: "w"})),
    "density_grid": (
        density_grid,
        lambda: (n(4, 5, 6), r(9, 3) * 3 - 1.5, -torch.ones(3), torch.ones(3)),
        ({0: "X", 1: "Y", 2: "Z"}, _POINTS, {}, {}),
    ),
    "depth_reprojection": (
        depth_reprojection,
        lambda: (n(2, 3, 6, 7), r(2, 1, 6, 7) + 0.5, torch.eye(4) + 0.1 * r(2, 4, 4), torch.eye(4) + 0.1 * r(2, 4, 4)),
        (_ITEMS, _ITEMS, _BATCH, _BATCH),
    ),
    "devoxelized": (devoxelized, lambda: (n(2, 3, 4, 4, 4), r(2, 3, 9) * 4 - 0.5), (_BATCH, {0: "B", 2: "P"})),
    "disparity_candidates": (
        disparity_candidates,
        lambda: (n(2, 3, 4, 7), r(2, 5, 4, 7) * 6 - 1),
        (_ITEMS, {0: "B", 1: "D", 2: "H", 3: "W"}),
    ),
    "disparity_lookup": (disparity_lookup, lambda: (n(7, 1, 10), r(7, 1) * 12 - 1), ({0: "N", 2: "W"}, {0: "N"})),
    "distances_to_neighbours": (
        distances_to_neighbours,
        lambda: (n(2, 3, 4, 7), n(2, 5, 3, 2)),
        (_ITEMS, {0: "B", 1: "h", 2: "w"}),
    ),
    "dynamic_upsampler": (dynamic_upsampler, lambda: (n(2, 3, 4, 5), n(2, 8, 4, 5)), (_ITEMS, _ITEMS)),
    "fisheye_view": (
        fisheye_view,
        lambda: (n(8, 9, 3), n(4, 5, 3), torch.tensor([3.0])),
        (_LAST, {0: "h", 1: "w"}, {}),
    ),
    "ground_plane": (ground_plane, lambda: (n(8, 9, 3), torch.tensor(CAMERA)[:, :3] + 0.1 * r(3, 3)), (_LAST, {})),
    "homography_sweep": (
        homography_sweep,
        lambda: (n(2, 3, 5, 6), _camera(2), r(2, 4) + 0.5),
        (_ITEMS, _BATCH, {0: "B", 1: "D"}),
    ),
    "levels_of_features": (levels_of_features, lambda: (n(36, 2), n(121, 2), r(9, 2) * 1.4 - 0.2), ({}, {}, _POINTS)),
    "linspace_grid_warp": (linspace_grid_warp, lambda: (n(2, 3, 5, 6), n(2, 2, 5, 6) * 2), (_ITEMS, _ITEMS)),
    "modulated_convolution": (
        modulated_convolution,
        lambda: (n(2, 3, 5, 6), n(2, 18, 5, 6), r(2, 9, 5, 6), n(4, 3, 3, 3)),
        (_ITEMS, _ITEMS, _ITEMS, {}),
    ),
    "nearest_ensemble": (nearest_ensemble, lambda: (n(3, 5, 7), n(9, 2)), (_IMAGE, _POINTS)),
    "nearest_flow_warp": (nearest_flow_warp, lambda: (n(2, 3, 5, 6), n(2, 2, 5, 6) * 2), (_ITEMS, _ITEMS)),
    "panorama_seam": (panorama_seam, lambda: (n(3, 5, 7), n(4, 6, 2)), (_IMAGE, {0: "h", 1: "w"})),
    "periodic_wind": (periodic_wind, lambda: (n(2, 5, 7), n(9, 2)), (_IMAGE, _POINTS)),
    "perspective_warp": (perspective_warp, lambda: (n(2, 3, 5, 6), torch.eye(3) + 0.1 * n(2, 3, 3)), (_ITEMS, _BATCH)),
    "plane_times_line": (plane_times_line, lambda: (n(3, 5, 7), n(3, 6), n(9, 3)), (_IMAGE, {1: "D"}, _POINTS)),
    "precise_pooling": (precise_pooling, lambda: (n(3, 6, 7), r(5, 4) * 6), (_IMAGE, {0: "K"})),
    "quarter_offset": (quarter_offset, lambda: (n(2, 4, 6, 7),), (_ITEMS,)),
    "remap_in_32nds": (
        remap_in_32nds,
        lambda: (n(3, 6, 7), r(4, 5) * 9 - 1, r(4, 5) * 8 - 1),
        (_IMAGE, {0: "h", 1: "w"}, {0: "h", 1: "w"}),
    ),
    "rounded_projection": (
        rounded_projection,
        lambda: (n(2, 3, 6, 7), r(9, 3) + 0.1, _camera(2)),
        (_ITEMS, {0: "V"}, _BATCH),
    ),
    "second_order_flow": (
        second_order_flow,
        lambda: (n(2, 3, 5, 6), n(2, 2, 5, 6), n(2, 2, 5, 6)),
        (_ITEMS, _ITEMS, _ITEMS),
    ),
    "sinc_resampled": (sinc_resampled, lambda: (n(2, 12), r(9) * 14 - 1), ({0: "B", 1: "T"}, {0: "S"})),
    "sliced_grid": (sliced_grid, lambda: (n(4, 5, 6, 2), r(7, 9) * 1.4 - 0.2), ({0: "a", 1: "b", 2: "D"}, _LAST)),
    "soft_argmax_features": (
        soft_argmax_features,
        lambda: (n(2, 4, 5, 6), n(2, 3, 5, 6)),
        ({0: "B", 1: "K", 2: "H", 3: "W"}, _ITEMS),
    ),
    "spline_rectification": (spline_rectification, lambda: (n(2, 3, 5, 9), n(2, 4, 2)), (_ITEMS, _BATCH)),
    "stacked_planes": (
        stacked_planes,
        lambda: (n(2, 3, 4, 5, 6), n(2, 7, 3)),
        ({0: "B", 3: "H", 4: "W"}, _BATCH_POINTS),
    ),
    "stretched_spectrum": (stretched_spectrum, lambda: (n(5, 12), r(9) * 12), ({0: "F", 1: "T"}, {0: "S"})),
    "tetrahedral_table": (tetrahedral_table, lambda: (n(5, 5, 5, 3), r(9, 3)), ({}, _POINTS)),
    "three_nearest_points": (
        three_nearest_points,
        lambda: (n(2, 3, 8), n(2, 8, 3), n(2, 9, 3)),
        ({0: "B", 2: "M"}, {0: "B", 1: "M"}, _BATCH_POINTS),
    ),
    "tracked_features": (
        tracked_features,
        lambda: (n(2, 3, 4, 5, 6), r(2, 9, 3) * 6 - 0.5),
        ({0: "B", 2: "T", 3: "H", 4: "W"}, _BATCH_POINTS),
    ),
    "undistorted_lens": (
        undistorted_lens,
        lambda: (n(3, 8, 9), torch.tensor([6.0, 6, 4, 4]), torch.tensor([0.2, 0.05, 0.01, 0.02])),
        (_IMAGE, {}, {}),
    ),
    "voxels_from_camera": (
        voxels_from_camera,
        lambda: (n(3, 6, 7), n(2, 3, 4, 3) + 0.5, _camera()),
        (_IMAGE, {0: "Z", 1: "Y", 2: "X"}, {}),
    ),
    "warp_with_ones": (warp_with_ones, lambda: (n(2, 3, 5, 6), n(2, 2, 5, 6) * 2), (_ITEMS, _ITEMS)),
    "wave_tables": (wave_tables, lambda: (n(2, 12), n(2, 9) * 3), ({0: "B", 1: "L"}, {0: "B", 1: "T"})),
    "weather_fields": (weather_fields, lambda: (n(2, 3, 5, 8), n(2, 9, 2) * 9), (_ITEMS, _BATCH_POINTS)),
}
"""By name, the function, its inputs, and their free axes."""
