"""What a runtime is: where lowered models run, what it is known to get wrong or slow, and how to time a model there."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from onnx import ModelProto

from onnxgs_opt.runtime.timing import Call, Feeds
from onnxgs_opt.samplers.view import Array


class Quirk(Enum):
    """Something that a runtime does otherwise than ONNX says, or much slower than others; lowerings refuse by it."""

    LINEAR_GRID_SAMPLE_IS_NEAREST = auto()
    """A GridSample of opset 20, where "bilinear" became "linear", reads the nearest pixel (GSO201)."""

    DYNAMIC_GATHER_ELEMENTS_IS_NAN = auto()
    """GatherElements of dynamic sizes makes NaN."""

    ROI_ALIGN_IS_FOR_FEW_REGIONS = auto()
    """RoiAlign is a plugin that takes a few hundred regions."""

    OLD_ROI_ALIGN_IS_HALF_PIXEL = auto()
    """A RoiAlign of an opset before 16, which has no choice, moves its regions by half a pixel."""

    SCAN_IS_A_LOOP = auto()
    """A Scan starts its body's kernels anew for every step."""

    NO_DOUBLES = auto()
    """Nothing is computed in double precision."""

    SHORT_FLOATS_BY_DEFAULT = auto()
    """Devices with bfloat16 or halves compute in them what meets a MatMul or Conv, coordinates included (GSO209)."""

    SCAN_SEES_NO_OUTER_TENSORS = auto()
    """A Scan whose body reads a tensor of the graph around it does not load."""

    NO_GRID_SAMPLE_OF_VOLUMES = auto()
    """A GridSample of rank 5 does not load."""

    MIRRORED_TAPS_ARE_UNMEASURED = auto()
    """Whether a GridSample of cubic weights or volumes mirrors each pixel that it reads was not looked at."""

    GRID_SAMPLE_DOES_NOT_MIRROR = auto()
    """A GridSample whose padding_mode is reflection reads other pixels."""

    NEGATIVE_ZERO_IS_LESS = auto()
    """-0.0 is less than 0 and not equal to it."""

    CUBIC_GRID_SAMPLE_IS_LINEAR = auto()
    """A cubic GridSample is run as a bilinear one."""

    NO_LINEAR_RESIZE_OF_VOLUMES = auto()
    """A linear Resize of other tensors than [N, C, W] and [N, C, H, W] does not run."""

    CUBIC_RESIZE_IS_OF_WHOLE_PIXELS = auto()
    """A cubic Resize reads other pixels unless it aligns corners or is asymmetric, with the default weights."""

    NEAREST_RESIZE_ROUNDS_DOWN = auto()
    """A Resize of the nearest pixel rounds down, or halves down, where it is to round up."""

    NO_DEFORM_CONV = auto()
    """A DeformConv does not load."""

    NO_FUNCTIONS = auto()
    """Nodes of other domains do not load, although the model has their functions."""

    HAS_DEFORMABLE_ATTENTION = auto()
    """Its own plugins are there, with one for deformable attention, which runs a node of the plugin's name."""


class Loaded(Protocol):
    """A model that a runtime has loaded, for any inputs."""

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        """The outputs of these names, or all; RunError where the model does not run on these inputs."""


class Runtime(Protocol):
    """One runtime on one kind of device. Implementations are frozen dataclasses, and import the runtime when used."""

    @property
    def name(self) -> str:
        """The name that `--target` takes."""

    @property
    def quirks(self) -> frozenset[Quirk]:
        """What lowerings have to know of it."""

    @property
    def least_call_s(self) -> float:
        """Seconds; checking and timing every lowering of a site that takes less costs more than any of them gains."""

    def unavailable(self) -> str | None:
        """Say why models cannot run here, in one sentence; None when they can."""

    def version(self) -> str:
        """Its name and version: measurements of another one are void."""

    def device(self) -> str:
        """What measurements belong to besides: the machine and, where it is told, its processor."""

    @property
    def checks(self) -> bool:
        """Whether lowerings are checked there too: not where the reference runs, nor where sizes have to be fixed."""

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Loaded:
        """Load a model for checks, at the precision that the runtime takes by default.

        Raises:
            OptError: The model does not load there.
        """

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        """A call that runs a model once, with inputs and outputs where the runtime keeps them.

        Args:
            feeds: Inputs by name; those that the model does not have are left out.
            folder: Where its external weights lie; None for a model without any.
            custom_ops: Libraries of operators that the runtime lacks.

        Raises:
            OptError: The model does not run here; the call raises the same.
        """
