"""What the forms of several lists have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Form = Callable[..., Tensor]


def floored(p: Tensor) -> tuple[Tensor, Tensor]:
    """The whole pixel before a coordinate, and how far behind that it is."""
    low = torch.floor(p)
    return low, p - low


def mix(a: Tensor, b: Tensor, c: Tensor, d: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """a and b are the left and right pixel above, c and d those below."""
    return (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
