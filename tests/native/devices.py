"""The operators on a device beside the same node on the processor: at the points where a border or a window begins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path

import numpy as np

from onnxgs_opt.samplers.op import COORDINATE_CODES, KERNEL_CODES, MASK_CODES, WINDOW_CODES
from tests.native import ops
from tests.native.sampling import BORDERS, LAYOUTS, OF_TAPS, SIZES, Case, inputs

CUDA = ("CUDAExecutionProvider", *ops.CPU)


def every_attribute() -> Iterator[Case]:
    """Every kernel with its borders, in every window and unit; layouts, types and sizes in turn."""
    rest = cycle(product(LAYOUTS, ("float32", "float16")))
    sizes = cycle((*SIZES, (1, 1, 30, 8, 40, 41), (2, 13, 9, 13, 33, 35), (1, 70, 9, 11, 8, 9)))
    for kernel in KERNEL_CODES:
        borders = BORDERS if kernel == "linear" else OF_TAPS
        for border, window, unit in product(borders, WINDOW_CODES, COORDINATE_CODES):
            layout, dtype = next(rest)
            yield Case(next(sizes), border, window, unit, layout, dtype, kernel=kernel)


def check_on_both(library: Path, case: Case, device: tuple[str, ...] = CUDA) -> None:
    """Assert that a node makes the same on the device: masks and single pixels to the bit, sums but for their order."""
    image, grid = inputs(case, np.random.default_rng(0))
    form = tuple(MASK_CODES)[sum(case.sizes) % len(MASK_CODES)]
    made, feeds = ops.model(case, form=form), {"image": image, "grid": grid}
    (there, mask), (here, wanted) = (
        ops.session(library, made, 2, providers).run(None, feeds) for providers in (device, ops.CPU)
    )
    np.testing.assert_array_equal(mask, wanted, err_msg=str(case))
    tolerance = 0.0 if case.kernel.startswith(("nearest", "floor")) else ops.tolerance_of(case)
    np.testing.assert_allclose(
        there.astype(np.float64), here.astype(np.float64), tolerance, tolerance, err_msg=str(case)
    )
