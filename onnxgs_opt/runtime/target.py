"""What the lowered model has to run on."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.runtime import Quirk, runtime_of


@dataclass(frozen=True)
class Target:
    """What the lowered model has to run on.

    `atol` and `rtol` are the user's; None leaves each lowering its own. `image_size` (H, W) is the largest
    that a dynamic model will see, where the user said so. `plugin` says that it will have the plugin's library,
    `ops` is the version of onnxgs-ops that it will have, which is loaded here; empty for none. `avoid` are operators
    that must not stand in the model.
    """

    opset: int
    runtime: str = "ort-cpu"
    atol: float | None = None
    rtol: float | None = None
    image_size: tuple[int | None, ...] = (None, None)
    plugin: bool = False
    ops: str = ""
    avoid: frozenset[str] = frozenset()

    @property
    def quirks(self) -> frozenset[Quirk]:
        """What lowerings have to know of the runtime."""
        return runtime_of(self.runtime).quirks

    @property
    def is_here(self) -> bool:
        """Whether models can be run and timed on it here."""
        return runtime_of(self.runtime).unavailable() is None
